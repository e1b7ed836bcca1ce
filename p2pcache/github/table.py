"""The table: every GET operation of GitHub's REST API with its lifetime class.

A block is a prefix, then lines of ``class  pattern pattern ...`` relative to it. ``.`` is the prefix itself, ``{name}``
one segment, ``{name+}`` one or more (refs and file paths contain slashes), ``[]`` an answer that is a JSON array.
Checked against GitHub's OpenAPI description (github/rest-api-description), which lacks a few rows that clients use:
``git/refs``, ``statuses/{ref}``, ``contents`` and archives without a path, ``organizations/{id}/team``.

``!`` after a class: the answer, or a part of it, depends on more than read access to the repository: on the
`permissions:` of a job (``security-events``, ``administration``, ...) or on a person's role. Releases are an example,
whose drafts are visible only with push access. Another token's answer proves nothing, even within one repository, so
each token needs a proof of its own.

Classes are those of `Lifetime`, assigned by these rules:
  pinned  immutable if the last segment is a full SHA (or two, in a comparison), else live: a push that no gateway
          sees moves a branch. ``verified_at`` and authors' logins in commits may be out of date.
  live    polled while something runs: runs, checks, deployments, refs, and events with ``X-Poll-Interval``. A URL
          does not show whether a run is finished.
  normal  GitHub's own ``max-age=60``.
  slow    configuration, catalogues, profiles, statistics that GitHub itself computes rarely.
  never   not cacheable: redirects to signed URLs or bodies that hold such URLs (archives, logs,
          reports, attestations, runner downloads), secrets in the clear (secret scanning, feeds), yes-or-no
          questions answered 204 or 404, random answers, operations that start something, the quota itself, and checks
          of a token's validity and permissions (``/`` and ``/user``, for their X-OAuth-Scopes).
"""

from __future__ import annotations

TABLE = """
/
  live    app/hook/deliveries/{delivery_id} app/hook/deliveries[] events[] networks/{owner}/{repo}/events[]
  live    notifications/threads/{thread_id} notifications/threads/{thread_id}/subscription notifications[]
  live!   agents/repos/{owner}/{repo}/tasks agents/repos/{owner}/{repo}/tasks/{task_id} agents/tasks
  live!   agents/tasks/{task_id}
  normal  app app/hook/config app/installation-requests[] app/installations/{installation_id}
  normal  app/installations[] gists/public[] gists/starred[] gists/{gist_id}
  normal  gists/{gist_id}/comments/{comment_id} gists/{gist_id}/comments[] gists/{gist_id}/commits[]
  normal  gists/{gist_id}/forks[] gists/{gist_id}/{sha} gists[] issues[] search/code search/commits
  normal  search/issues search/labels search/repositories search/users
  normal! installation/repositories organizations/{org}/settings/billing/ai_credit/usage
  normal! organizations/{org}/settings/billing/budgets
  normal! organizations/{org}/settings/billing/budgets/{budget_id}
  normal! organizations/{org}/settings/billing/premium_request/usage
  normal! organizations/{org}/settings/billing/usage organizations/{org}/settings/billing/usage/summary
  normal! organizations/{org}/team/{team_id} organizations/{org}/team/{team_id}/invitations[]
  normal! organizations/{org}/team/{team_id}/members[] organizations/{org}/team/{team_id}/repos[]
  normal! organizations/{org}/team/{team_id}/teams[] teams/{team_id} teams/{team_id}/invitations[]
  normal! teams/{team_id}/members[] teams/{team_id}/memberships/{username}
  normal! teams/{team_id}/repos/{owner}/{repo} teams/{team_id}/repos[] teams/{team_id}/teams[]
  slow    advisories/{ghsa_id} advisories[] apps/{app_slug} assignments/{assignment_id}
  slow    assignments/{assignment_id}/accepted_assignments[] assignments/{assignment_id}/grades[]
  slow    classrooms/{classroom_id} classrooms/{classroom_id}/assignments[] classrooms[]
  slow    codes_of_conduct/{key} codes_of_conduct[] emojis gitignore/templates/{name} gitignore/templates[]
  slow    licenses/{license} licenses[] marketplace_listing/accounts/{account_id}
  slow    marketplace_listing/plans/{plan_id}/accounts[] marketplace_listing/plans[]
  slow    marketplace_listing/stubbed/accounts/{account_id}
  slow    marketplace_listing/stubbed/plans/{plan_id}/accounts[] marketplace_listing/stubbed/plans[] meta
  slow    organizations[] repositories[] search/topics users[] versions[]
  slow!   organizations/{org}/actions/cache/retention-limit organizations/{org}/actions/cache/storage-limit
  never   . feeds gists/{gist_id}/star octocat rate_limit teams/{team_id}/members/{username} zen
/enterprises/{enterprise}
  normal! dependabot/alerts[] dependabot/repository-access teams/{enterprise-team}/memberships/{username}
  normal! teams/{enterprise-team}/memberships[] teams/{enterprise-team}/organizations/{org}
  normal! teams/{enterprise-team}/organizations[] teams/{team_slug} teams[]
  slow!   actions/cache/retention-limit actions/cache/storage-limit
  slow!   actions/oidc/customization/properties/repo[] code-security/configurations/defaults[]
  slow!   code-security/configurations/{configuration_id}
  slow!   code-security/configurations/{configuration_id}/repositories[] code-security/configurations[]
  never   copilot/metrics/reports/enterprise-1-day copilot/metrics/reports/enterprise-28-day/latest
  never   copilot/metrics/reports/repos-1-day copilot/metrics/reports/user-teams-1-day
  never   copilot/metrics/reports/users-1-day copilot/metrics/reports/users-28-day/latest
/user
  live    codespaces codespaces/{codespace_name} codespaces/{codespace_name}/exports/{export_id}
  live    codespaces/{codespace_name}/machines migrations/{migration_id}
  live    migrations/{migration_id}/repositories[] migrations[]
  normal  blocks[] codespaces/secrets codespaces/secrets/public-key codespaces/secrets/{secret_name}
  normal  codespaces/secrets/{secret_name}/repositories docker/conflicts[] followers[] following[]
  normal  gpg_keys/{gpg_key_id} installations installations/{installation_id}/repositories issues[]
  normal  keys/{key_id} marketplace_purchases/stubbed[] marketplace_purchases[] memberships/orgs/{org}
  normal  memberships/orgs[] orgs[] packages/{package_type}/{package_name}
  normal  packages/{package_type}/{package_name}/versions/{package_version_id}
  normal  packages/{package_type}/{package_name}/versions[] packages[] repos[] repository_invitations[]
  normal  ssh_signing_keys/{ssh_signing_key_id} starred[] subscriptions[] teams[]
  slow    emails[] gpg_keys[] interaction-limits keys[] public_emails[] social_accounts[] ssh_signing_keys[]
  slow    {account_id}
  never   . blocks/{username} following/{username} migrations/{migration_id}/archive starred/{owner}/{repo}
/users/{username}
  live    events/orgs/{org}[] events/public[] events[] received_events/public[] received_events[]
  normal  copilot-spaces copilot-spaces/{space_number} copilot-spaces/{space_number}/collaborators
  normal  copilot-spaces/{space_number}/resources copilot-spaces/{space_number}/resources/{space_resource_id}
  normal  docker/conflicts[] followers[] following[] gists[] installation orgs[]
  normal  packages/{package_type}/{package_name}
  normal  packages/{package_type}/{package_name}/versions/{package_version_id}
  normal  packages/{package_type}/{package_name}/versions[] packages[] projectsV2/{project_number}
  normal  projectsV2/{project_number}/fields/{field_id} projectsV2/{project_number}/fields[]
  normal  projectsV2/{project_number}/items/{item_id} projectsV2/{project_number}/items[]
  normal  projectsV2/{project_number}/views/{view_number}/items[] projectsV2[] repos[]
  normal  settings/billing/ai_credit/usage settings/billing/premium_request/usage settings/billing/usage
  normal  settings/billing/usage/summary starred[] subscriptions[]
  slow    . gpg_keys[] hovercard keys[] social_accounts[] ssh_signing_keys[]
  never   attestations/{subject_digest} following/{target_user}
/orgs/{org}
  live    events[]
  live!   codespaces hooks/{hook_id}/deliveries/{delivery_id} hooks/{hook_id}/deliveries[]
  live!   members/{username}/codespaces migrations/{migration_id} migrations/{migration_id}/repositories[]
  live!   migrations[]
  normal  docker/conflicts[] issues[] packages/{package_type}/{package_name}
  normal  packages/{package_type}/{package_name}/versions/{package_version_id}
  normal  packages/{package_type}/{package_name}/versions[] packages[] projectsV2/{project_number}
  normal  projectsV2/{project_number}/fields/{field_id} projectsV2/{project_number}/fields[]
  normal  projectsV2/{project_number}/items/{item_id} projectsV2/{project_number}/items[]
  normal  projectsV2/{project_number}/views/{view_number}/items[] projectsV2[] public_members[] repos[]
  normal! agents/secrets agents/secrets/public-key agents/secrets/{secret_name}
  normal! agents/secrets/{secret_name}/repositories agents/variables agents/variables/{name}
  normal! agents/variables/{name}/repositories
  normal! artifacts/metadata/deployment-record/cluster/{cluster}/jobs/{job_id}
  normal! artifacts/{subject_digest}/metadata/deployment-records
  normal! artifacts/{subject_digest}/metadata/storage-records blocks[] campaigns/{campaign_number}
  normal! campaigns[] code-scanning/alerts[] codespaces/secrets codespaces/secrets/public-key
  normal! codespaces/secrets/{secret_name} codespaces/secrets/{secret_name}/repositories copilot-spaces
  normal! copilot-spaces/{space_number} copilot-spaces/{space_number}/collaborators
  normal! copilot-spaces/{space_number}/resources copilot-spaces/{space_number}/resources/{space_resource_id}
  normal! copilot/billing copilot/billing/seats copilot/content_exclusion dependabot/alerts[]
  normal! dependabot/repository-access dependabot/secrets dependabot/secrets/public-key
  normal! dependabot/secrets/{secret_name} dependabot/secrets/{secret_name}/repositories failed_invitations[]
  normal! insights/api/route-stats/{actor_type}/{actor_id}[] insights/api/subject-stats[]
  normal! insights/api/summary-stats insights/api/summary-stats/users/{user_id}
  normal! insights/api/summary-stats/{actor_type}/{actor_id} insights/api/time-stats/users/{user_id}[]
  normal! insights/api/time-stats/{actor_type}/{actor_id}[] insights/api/time-stats[]
  normal! insights/api/user-stats/{user_id}[] installation installations invitations/{invitation_id}/teams[]
  normal! invitations[] members/{username}/copilot members[] memberships/{username} outside_collaborators[]
  normal! personal-access-token-requests/{pat_request_id}/repositories[] personal-access-token-requests[]
  normal! personal-access-tokens/{pat_id}/repositories[] personal-access-tokens[] private-registries
  normal! private-registries/public-key private-registries/{secret_name} rulesets/rule-suites/{rule_suite_id}
  normal! rulesets/rule-suites[] rulesets/{ruleset_id} rulesets/{ruleset_id}/history/{version_id}
  normal! rulesets/{ruleset_id}/history[] rulesets[] secret-scanning/custom-patterns[]
  normal! secret-scanning/pattern-configurations security-advisories[] security-managers[]
  slow    . issue-fields[] issue-types[] properties/schema/{custom_property_name} properties/schema[]
  slow!   code-security/configurations/defaults[] code-security/configurations/{configuration_id}
  slow!   code-security/configurations/{configuration_id}/repositories[] code-security/configurations[]
  slow!   copilot/coding-agent/permissions copilot/coding-agent/permissions/repositories hooks/{hook_id}
  slow!   hooks/{hook_id}/config hooks[] interaction-limits interaction-limits/pulls/creation-cap
  slow!   organization-fine-grained-permissions[] organization-roles organization-roles/{role_id}
  slow!   organization-roles/{role_id}/teams[] organization-roles/{role_id}/users[] properties/values[]
  slow!   settings/immutable-releases settings/immutable-releases/repositories
  slow!   settings/network-configurations settings/network-configurations/{network_configuration_id}
  slow!   settings/network-settings/{network_settings_id}
  never   attestations/repositories[] attestations/{subject_digest} blocks/{username}
  never   copilot/metrics/reports/organization-1-day copilot/metrics/reports/organization-28-day/latest
  never   copilot/metrics/reports/repos-1-day copilot/metrics/reports/user-teams-1-day
  never   copilot/metrics/reports/users-1-day copilot/metrics/reports/users-28-day/latest members/{username}
  never   migrations/{migration_id}/archive public_members/{username} secret-scanning/alerts[]
/orgs/{org}/teams
  normal! .[] {team_slug} {team_slug}/invitations[] {team_slug}/members[] {team_slug}/memberships/{username}
  normal! {team_slug}/repos/{owner}/{repo} {team_slug}/repos[] {team_slug}/teams[]
/orgs/{org}/actions
  live!   hosted-runners/{hosted_runner_id} runner-groups/{runner_group_id}/runners runners
  live!   runners/{runner_id} runners/{runner_id}/labels
  normal! cache/usage cache/usage-by-repository hosted-runners runner-groups runner-groups/{runner_group_id}
  normal! runner-groups/{runner_group_id}/hosted-runners runner-groups/{runner_group_id}/repositories secrets
  normal! secrets/public-key secrets/{secret_name} secrets/{secret_name}/repositories variables
  normal! variables/{name} variables/{name}/repositories
  slow!   hosted-runners/images/custom hosted-runners/images/custom/{image_definition_id}
  slow!   hosted-runners/images/custom/{image_definition_id}/versions
  slow!   hosted-runners/images/custom/{image_definition_id}/versions/{version}
  slow!   hosted-runners/images/github-owned hosted-runners/images/partner hosted-runners/limits
  slow!   hosted-runners/machine-sizes hosted-runners/platforms oidc/customization/properties/repo[]
  slow!   oidc/customization/sub permissions permissions/artifact-and-log-retention
  slow!   permissions/fork-pr-contributor-approval permissions/fork-pr-workflows-private-repos
  slow!   permissions/repositories permissions/selected-actions permissions/self-hosted-runners
  slow!   permissions/self-hosted-runners/repositories permissions/workflow
  never   runners/downloads[]
/repos/{owner}/{repo}
  pinned  commits/{ref+} compare/{basehead+} git/blobs/{file_sha} git/commits/{commit_sha} git/tags/{tag_sha}
  pinned  git/trees/{tree_sha+}
  live    branches/{branch+} check-runs/{check_run_id} check-runs/{check_run_id}/annotations[]
  live    check-suites/{check_suite_id} check-suites/{check_suite_id}/check-runs commits/{ref+}/check-runs
  live    commits/{ref+}/check-suites commits/{ref+}/status commits/{ref+}/statuses[]
  live    deployments/{deployment_id} deployments/{deployment_id}/statuses/{status_id}
  live    deployments/{deployment_id}/statuses[] deployments[] events[] git/matching-refs/{ref+}[]
  live    git/ref/{ref+} git/refs/{ref+} git/refs[] import notifications[] rules/branches/{branch+}[]
  live    statuses/{ref+}[]
  live!   code-scanning/codeql/variant-analyses/{codeql_variant_analysis_id}
  live!   code-scanning/codeql/variant-analyses/{codeql_variant_analysis_id}/repos/{repo_owner}/{repo_name}
  live!   code-scanning/sarifs/{sarif_id} codespaces hooks/{hook_id}/deliveries/{delivery_id}
  live!   hooks/{hook_id}/deliveries[] pages/builds/latest pages/builds/{build_id} pages/builds[]
  live!   pages/deployments/{pages_deployment_id}
  normal  . activity[] assignees[] branches[] comments/{comment_id} comments/{comment_id}/reactions[]
  normal  comments[] commits/{ref+}/branches-where-head[] commits/{ref+}/comments[] commits/{ref+}/pulls[]
  normal  commits[] contents contents/{path+} dependency-graph/compare/{basehead+}[] forks[] import/authors[]
  normal  import/large_files[] labels/{name} labels[] milestones/{milestone_number}
  normal  milestones/{milestone_number}/labels[] milestones[] readme readme/{dir+} releases/latest
  normal  releases/tags/{tag+} releases/{release_id}/reactions[] stacks/{stack_number} stacks[]
  normal  stargazers/count stargazers[] subscribers[] subscription tags[]
  normal! releases/assets/{asset_id} releases/{release_id} releases/{release_id}/assets[] releases[]
  normal! agents/organization-secrets agents/organization-variables agents/secrets agents/secrets/public-key
  normal! agents/secrets/{secret_name} agents/variables agents/variables/{name} automated-security-fixes
  normal! code-quality/findings/{finding_number} code-quality/findings[] code-quality/setup
  normal! code-scanning/alerts/{alert_number} code-scanning/alerts/{alert_number}/autofix
  normal! code-scanning/alerts/{alert_number}/instances[] code-scanning/alerts[]
  normal! code-scanning/analyses/{analysis_id} code-scanning/analyses[] code-scanning/codeql/databases[]
  normal! code-scanning/default-setup codespaces/secrets codespaces/secrets/public-key
  normal! codespaces/secrets/{secret_name} collaborators/{username}/permission collaborators[]
  normal! copilot/cloud-agent/configuration dependabot/alerts/{alert_number} dependabot/alerts[]
  normal! dependabot/secrets dependabot/secrets/public-key dependabot/secrets/{secret_name} installation
  normal! invitations[] keys/{key_id} pages pages/health private-vulnerability-reporting
  normal! rulesets/rule-suites/{rule_suite_id} rulesets/rule-suites[] rulesets/{ruleset_id}
  normal! rulesets/{ruleset_id}/history/{version_id} rulesets/{ruleset_id}/history[] rulesets[]
  normal! secret-scanning/custom-patterns[] secret-scanning/scan-history security-advisories/{ghsa_id}
  normal! security-advisories[] teams[]
  slow    codeowners/errors community/profile contributors[] dependency-graph/sbom hash-algorithm
  slow    issue-types[] languages license properties/values[] stats/code_frequency[] stats/commit_activity[]
  slow    stats/contributors[] stats/participation stats/punch_card[] topics
  slow!   autolinks/{autolink_id} autolinks[] code-security-configuration codespaces/devcontainers
  slow!   codespaces/machines codespaces/new hooks/{hook_id} hooks/{hook_id}/config hooks[]
  slow!   immutable-releases interaction-limits interaction-limits/pulls/bypass-list[]
  slow!   interaction-limits/pulls/creation-cap keys[] traffic/clones traffic/popular/paths[]
  slow!   traffic/popular/referrers[] traffic/views
  never   assignees/{assignee} attestations/{subject_digest} code-scanning/codeql/databases/{language}
  never   codespaces/permissions_check collaborators/{username}
  never   dependency-graph/sbom/fetch-report/{sbom_uuid} dependency-graph/sbom/generate-report
  never   secret-scanning/alerts/{alert_number} secret-scanning/alerts/{alert_number}/locations[]
  never   secret-scanning/alerts[] tarball tarball/{ref+} vulnerability-alerts zipball zipball/{ref+}
/repos/{owner}/{repo}/pulls
  live    {pull_number}/merge-async/{uuid}
  normal  .[] comments/{comment_id} comments/{comment_id}/reactions[] comments[] {pull_number}
  normal  {pull_number}/comments[] {pull_number}/commits[] {pull_number}/files[]
  normal  {pull_number}/requested_reviewers {pull_number}/reviews/{review_id}
  normal  {pull_number}/reviews/{review_id}/comments[] {pull_number}/reviews[]
  never   {pull_number}/merge
/repos/{owner}/{repo}/issues
  normal  .[] comments/{comment_id} comments/{comment_id}/reactions[] comments[] events/{event_id} events[]
  normal  {issue_number} {issue_number}/comments[] {issue_number}/dependencies/blocked_by[]
  normal  {issue_number}/dependencies/blocking[] {issue_number}/events[] {issue_number}/issue-field-values[]
  normal  {issue_number}/labels[] {issue_number}/parent {issue_number}/reactions[]
  normal  {issue_number}/sub_issues[] {issue_number}/suggestions[] {issue_number}/timeline[]
  never   {issue_number}/assignees/{assignee}
/repos/{owner}/{repo}/environments
  normal  . {environment_name}
  normal! {environment_name}/deployment-branch-policies
  normal! {environment_name}/deployment-branch-policies/{branch_policy_id}
  normal! {environment_name}/deployment_protection_rules {environment_name}/deployment_protection_rules/apps
  normal! {environment_name}/deployment_protection_rules/{protection_rule_id} {environment_name}/secrets
  normal! {environment_name}/secrets/public-key {environment_name}/secrets/{secret_name}
  normal! {environment_name}/variables {environment_name}/variables/{name}
/repos/{owner}/{repo}/branches/{branch+}/protection
  normal! . enforce_admins required_pull_request_reviews required_signatures required_status_checks
  normal! required_status_checks/contexts[] restrictions restrictions/apps[] restrictions/teams[]
  normal! restrictions/users[]
/repos/{owner}/{repo}/actions
  live    concurrency_groups concurrency_groups/{concurrency_group_name} jobs/{job_id} runs runs/{run_id}
  live    runs/{run_id}/approvals[] runs/{run_id}/artifacts runs/{run_id}/attempts/{attempt_number}
  live    runs/{run_id}/attempts/{attempt_number}/jobs runs/{run_id}/concurrency_groups runs/{run_id}/jobs
  live    runs/{run_id}/pending_deployments[] runs/{run_id}/timing workflows/{workflow_id}/runs
  live!   runners runners/{runner_id} runners/{runner_id}/labels
  normal  artifacts artifacts/{artifact_id} caches
  normal! cache/usage organization-secrets organization-variables secrets secrets/public-key
  normal! secrets/{secret_name} variables variables/{name}
  slow    workflows workflows/{workflow_id} workflows/{workflow_id}/timing
  slow!   cache/retention-limit cache/storage-limit oidc/customization/sub permissions permissions/access
  slow!   permissions/artifact-and-log-retention permissions/fork-pr-contributor-approval
  slow!   permissions/fork-pr-workflows-private-repos permissions/selected-actions permissions/workflow
  never   artifacts/{artifact_id}/{archive_format} jobs/{job_id}/logs runners/downloads[]
  never   runs/{run_id}/attempts/{attempt_number}/logs runs/{run_id}/logs
"""
