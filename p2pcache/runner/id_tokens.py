"""OIDC tokens of this job, from its runner, which gives them where the workflow has ``id-token: write``."""

from __future__ import annotations

from p2pcache.gateway import small_answers
from p2pcache.github.id_token import audience, request_url, token_of
from p2pcache.swarm.rules.admitted import TokenUnavailableError
from p2pcache.values import Secret

SECONDS = 5.0


class IdTokens:
    """Asks the runner's server.

    Args:
        url: `ACTIONS_ID_TOKEN_REQUEST_URL`.
        key: `ACTIONS_ID_TOKEN_REQUEST_TOKEN`; it is good for the job, and sent there alone.
    """

    def __init__(self, url: str, key: Secret) -> None:
        self._url = url
        self._key = key

    async def get(self, hub: str, peer: str) -> str:
        """Return a new token with which `peer` proves itself to `hub`, both peer ids.

        Raises:
            TokenUnavailableError: there is none; one sentence.
        """
        try:
            url = request_url(self._url, audience(hub, peer))
            return token_of(await small_answers.get(url, {"Authorization": f"bearer {self._key.reveal()}"}, SECONDS))
        except small_answers.SmallAnswerError as error:
            raise TokenUnavailableError(f"the runner gives no OIDC token: {error}") from None
        except ValueError:
            raise TokenUnavailableError("the runner gives no OIDC token: it answers something else") from None
