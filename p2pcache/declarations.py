"""Every setting of a node and every input of the Action, declared once.

`settings` parses by this table, `cli` derives the flags from it, `runner/inputs` maps inputs by it, ``make reference``
writes ``docs/settings.md`` from it, and tests compare both ``action.yml`` and the README with it. Standard library
only, since ``p2pcache --help`` loads it. The rows of a backend are in its own module (`backends`).
"""

from __future__ import annotations

from p2pcache import backends
from p2pcache.options import BYTES, Input, Setting

HUB_PORT = 9100
"""The port at which jobs look for a hub on their host."""
SOCKET_PATH_BYTES = 107
"""The longest path a unix socket can have on Linux (unix(7): ``sun_path`` less its terminating zero)."""
UPSTREAM = "https://api.github.com"


_FILE = "the path of a file"
_MULTIADDR = f"a TCP multiaddr, e.g. /ip4/172.17.0.1/tcp/{HUB_PORT} or /dns4/hub/tcp/{HUB_PORT}"
_RUNNERS_TOKEN = "${{ github.token }}"  # noqa: S105 - an expression
_SUPERVISOR = "what the supervisor passes"

SETTINGS = (
    Setting(
        "listen",
        "The gateway's address; port 0: any free one.",
        "HOST:PORT, e.g. 127.0.0.1:0, with a port from 0 to 65535",
        flag="--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:0",
        parse="listen",
    ),
    Setting(
        "gateway_host",
        "Answer /-/metrics, /-/healthz, /-/stats and /-/peers there too, to who has the CACHE_CONTROL_TOKEN.",
        "an address, e.g. 0.0.0.0, or with a port of its own, e.g. 0.0.0.0:8443",
        flag="--gateway-host",
        metavar="HOST[:PORT]",
        variables=("CACHE_GATEWAY_HOST",),
        otherwise="that of --listen",
        parse="gateway_host",
    ),
    Setting(
        "tls_cert",
        "The certificate chain for --gateway-host HOST:PORT, in PEM; read again on SIGHUP.",
        _FILE,
        flag="--tls-cert",
        metavar="PATH",
        variables=("CACHE_TLS_CERT",),
        otherwise="none: plain HTTP",
        parse="path",
    ),
    Setting(
        "tls_key",
        "Its private key, in PEM, without a passphrase.",
        _FILE,
        flag="--tls-key",
        metavar="PATH",
        variables=("CACHE_TLS_KEY",),
        otherwise="none",
        parse="path",
    ),
    Setting(
        "socket",
        "The gateway's unix socket.",
        f"a path of at most {SOCKET_PATH_BYTES} bytes",
        flag="--socket",
        metavar="PATH",
        otherwise="in --dir",
        parse="socket_path",
    ),
    Setting("socket_fd", "The unix socket.", _SUPERVISOR, flag="--socket-fd", metavar="N", internal=True),
    Setting(
        "keeper", "The held connections.", _SUPERVISOR, flag="--keeper", metavar="N:N", internal=True, parse="pair"
    ),
    Setting(
        "adopt", "Connections to take up.", _SUPERVISOR, flag="--adopt", metavar="N:N,...", internal=True, parse="pairs"
    ),
    Setting("secrets_fd", "The secret variables.", _SUPERVISOR, flag="--secrets-fd", metavar="N", internal=True),
    Setting(
        "p2p_listen",
        "Where peers connect.",
        _MULTIADDR,
        flag="--p2p-listen",
        metavar="MULTIADDR",
        otherwise=f"any free port; with --hub: {HUB_PORT}",
        parse="multiaddr",
    ),
    Setting(
        "p2p_port",
        "The TCP port where peers connect, on all IPv4 addresses; `--p2p-listen` beats it.",
        "a port from 0 to 65535",
        variables=("CACHE_LISTEN_PORT",),
        input="listen-port",
        otherwise=f"any free port; with --hub: {HUB_PORT}",
    ),
    Setting(
        "bootstrap",
        "A peer to join; repeatable.",
        _MULTIADDR,
        flag="--bootstrap",
        metavar="MULTIADDR",
        variables=("CACHE_BOOTSTRAP_PEERS", "CACHE_P2P_BOOTSTRAP", "MCP_P2P_BOOTSTRAP_PEERS"),
        input="bootstrap-peers",
        otherwise="none",
        repeated=True,
        parse="multiaddrs",
    ),
    Setting(
        "hub_peer_id",
        "The hub's peer id, for a bootstrap address that names none.",
        "a peer id",
        variables=("MCP_PEER_ID",),
        otherwise="any member",
    ),
    Setting(
        "announce",
        "The address peers are told; repeatable.",
        _MULTIADDR,
        flag="--announce",
        metavar="MULTIADDR",
        otherwise="this machine's",
        repeated=True,
        parse="multiaddrs",
    ),
    Setting(
        "upstream",
        "The API behind the gateway.",
        f"an http(s) URL without credentials or query, e.g. {UPSTREAM}",
        flag="--upstream",
        metavar="URL",
        variables=("CACHE_UPSTREAM", "GITHUB_API_URL"),
        input="upstream",
        default=UPSTREAM,
        parse="upstream",
    ),
    Setting(
        "directory",
        "Disk store, identity and state.",
        "the path of a directory",
        flag="--dir",
        metavar="PATH",
        variables=("CACHE_DIR",),
        otherwise="~/.cache/p2pcache",
        parse="path",
    ),
    Setting(
        "backends",
        "The tiers behind memory.",
        f"some of {', '.join(backends.names())}, each once, separated by commas",
        flag="--backends",
        metavar="LIST",
        variables=("CACHE_BACKENDS", "CACHE_BACKEND"),
        input="backends",
        default=",".join(backends.default()),
        parse="backends",
    ),
    Setting(
        "share",
        "What is served without a proof.",
        "scope, verified or off",
        flag="--share",
        metavar="scope|verified|off",
        variables=("CACHE_SHARE",),
        input="share",
        default="scope",
    ),
    Setting(
        "lifetimes",
        "How long an answer stays fresh, for all (60) or by class.",
        "normal=60,slow=300 or one number of seconds",
        variables=("CACHE_TTL",),
        input="ttl",
        default="immutable=86400,slow=300,normal=60,live=10",
        unit="seconds",
        parse="lifetimes",
    ),
    Setting(
        "memory_bytes",
        "The bound of the memory store.",
        BYTES,
        variables=("CACHE_MEMORY_BYTES",),
        default=str(64 << 20),
        unit="bytes",
    ),
    *backends.settings(),
    Setting(
        "secrets",
        "The swarm's secret, as `p2pcache keygen` prints it; several, a line each, in a rotation: the first seals.",
        "one secret a line",
        variables=("CACHE_SECRET",),
        input="secret",
        otherwise="a personal token stands in; a hub makes one",
        secret=True,
        parse="secrets",
    ),
    Setting(
        "secret_file",
        "A file with the swarm's secret in place of CACHE_SECRET; read again on SIGHUP.",
        _FILE,
        variables=("CACHE_SECRET_FILE",),
        otherwise="none; a hub keeps its own in --dir",
        parse="path",
    ),
    Setting(
        "token",
        "The token that names the scope; in the Action, the one that later steps use.",
        "a token",
        variables=("GITHUB_TOKEN",),
        input="token",
        input_default=_RUNNERS_TOKEN,
        otherwise="none",
        secret=True,
        parse="secret",
    ),
    Setting(
        "job_token",
        "The runner's own token, by which the jobs of a repository are one scope.",
        "the runner's github.token",
        variables=("CACHE_JOB_TOKEN",),
        input="job-token",
        input_default=_RUNNERS_TOKEN,
        otherwise="none",
        secret=True,
        internal=True,
        parse="secret",
    ),
    Setting(
        "control_token",
        "What other users and machines send as a bearer token to the control endpoints.",
        "a token",
        variables=("CACHE_CONTROL_TOKEN",),
        otherwise="a new one with every start, in --dir",
        secret=True,
        parse="secret",
    ),
    Setting(
        "webhook_secrets",
        "The secret of GitHub's webhooks, which makes /-/webhook answer; several, a line each, in a rotation.",
        "one secret a line",
        variables=("CACHE_WEBHOOK_SECRET",),
        otherwise="no webhooks",
        secret=True,
        parse="secrets",
    ),
    Setting(
        "repository",
        "The repository whose jobs are one scope; the runner sets it.",
        "OWNER/NAME",
        variables=("GITHUB_REPOSITORY",),
        otherwise="none",
        parse="repository",
    ),
    Setting(
        "ready_file",
        "Written once the gateway answers.",
        _FILE,
        flag="--ready-file",
        metavar="PATH",
        otherwise="none",
        parse="path",
    ),
    Setting(
        "stats_file",
        "Where the counts are kept, and taken up again.",
        _FILE,
        flag="--stats-file",
        metavar="PATH",
        otherwise="none",
        parse="path",
    ),
    Setting(
        "hub",
        f"Be the long-lived hub of a host, for peers at port {HUB_PORT}.",
        flag="--hub",
        default="false",
    ),
    Setting(
        "mdns",
        "Look for peers on the local network too.",
        flag="--mdns",
        variables=("CACHE_MDNS",),
        default="false",
    ),
    Setting(
        "p2p",
        "Join the swarm.",
        flag="--no-p2p",
        flag_help="Do not join the swarm.",
        switch="false",
        variables=("CACHE_ENABLE_P2P",),
        input="enable-p2p",
        input_default="true",
        default="true",
    ),
    Setting(
        "log_level",
        "How much is said on stderr.",
        "debug, info, warning or error",
        flag="--log-level",
        metavar="debug|info|warning|error",
        variables=("CACHE_LOG_LEVEL",),
        default="info",
    ),
    Setting(
        "log_format",
        "The form of the log's lines: for people, or one JSON object each.",
        "text or json",
        flag="--log-format",
        metavar="text|json",
        variables=("CACHE_LOG_FORMAT",),
        default="text",
    ),
    Setting(
        "log_requests",
        "Log each request, whatever the level: operation, decision, status, time.",
        flag="--log-requests",
        variables=("CACHE_LOG_REQUESTS",),
        default="false",
    ),
    Setting(
        "traces_endpoint",
        "Send OpenTelemetry traces there, by OTLP over HTTP; needs the extra `otel`. Its other variables count too.",
        "an http(s) URL",
        variables=("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        otherwise="none",
    ),
)
SETTING = {setting.field: setting for setting in SETTINGS}
FLAGS = tuple(setting for setting in SETTINGS if setting.flag)

INPUTS = (
    Input("mode", "The network mode, or auto: look around.", "auto"),
    Input("gateway-port", "The gateway's TCP port on 127.0.0.1; 0 is any free one.", "0"),
    Input("persist", "Share answers with the branch's other jobs and next runs; needs `secret`.", "false"),
    Input("gh", "Point gh at the cache in later steps.", "true"),
    Input("report", "Write what was saved to the job summary.", "true"),
    Input("strict", "Fail the job when the cache cannot work or cannot join its hub.", "false"),
    Input("job-container", "The job's container, known by itself.", "${{ job.container.id }}", composite=False),
    Input("job-network", "The job's network, known by itself.", "${{ job.container.network }}", composite=False),
)
INPUT_DEFAULTS = {given.name: given.default for given in INPUTS}
INPUT_VARIABLES = {setting.input: setting.variables[0] for setting in SETTINGS if setting.input}
