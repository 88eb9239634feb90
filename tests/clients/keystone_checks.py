"""Checks that need Keystone: users with different roles, and invalid tokens.

The users are admin, member, reader, and other-role in the project alpha, and stranger in beta.
"""

import requests

import cinder_checks
import openstack_checks
import sdk_checks
from caller import column, eventually, pick
from sdk_checks import refusal

FORBIDDEN = "ForbiddenException: 403: .*, Policy doesn't allow {} to be performed."


def openstack_permissions(section, app, people, keystone):
    admin, member, reader, stranger = (people[name] for name in ("admin", "member", "reader", "stranger"))
    volume = openstack_checks.new_volume(member, "vol")
    snapshot = openstack_checks.new_snapshot(member, "vol", "s", "--property", "a=1")
    section.equal(
        "a member's snapshot is seen by its project",
        [openstack_checks.names(who) for who in (admin, member, reader, stranger)],
        [["s"], ["s"], ["s"], []],
    )
    section.equal(
        "a reader sees what a member sees",
        reader.shown("volume", "snapshot", "show", "s"),
        member.shown("volume", "snapshot", "show", "s"),
    )

    def refused(name, who, policy, *command, before="", after=""):
        done = who.openstack(*command)
        section.matches(name, f"{done.code} {done.errors}", "1 " + before + FORBIDDEN.format(policy) + after)

    one_failed = " 1 of 1 snapshots failed to delete."
    set_failed = " One or more of the set operations failed"
    failed = "Failed to delete snapshot with name or ID 's': "
    snapshots = ("volume", "snapshot")
    refused(
        "a reader cannot create a snapshot",
        reader,
        "volume:create_snapshot",
        *snapshots,
        "create",
        "--volume",
        volume,
        "x",
    )
    refused(
        "nor delete one", reader, "volume:delete_snapshot", *snapshots, "delete", "s", before=failed, after=one_failed
    )
    refused(
        "nor rename one",
        reader,
        "volume:update_snapshot",
        *(*snapshots, "set", "--name", "x", "s"),
        before="Failed to update snapshot name or description: ",
        after=set_failed,
    )
    refused(
        "nor set its properties",
        reader,
        "volume:update_snapshot_metadata",
        *(*snapshots, "set", "--property", "b=2", "s"),
        before="Failed to set snapshot property: ",
        after=set_failed,
    )
    refused("nor unset them", reader, "volume:delete_snapshot_metadata", *snapshots, "unset", "--property", "a", "s")
    refused("nor create a volume", reader, "volume:create", "volume", "create", "--size", "1", "x")
    refused(
        "a member cannot reset the status",
        member,
        "volume_extension:snapshot_admin_actions:reset_status",
        *(*snapshots, "set", "--state", "error", "s"),
        before="Failed to set snapshot state: ",
        after=set_failed,
    )
    refused(
        "nor delete by force",
        member,
        "volume_extension:snapshot_admin_actions:force_delete",
        *(*snapshots, "delete", "--force", "s"),
        before=failed,
        after=one_failed,
    )
    refused(
        "nor adopt a snapshot",
        member,
        "snapshot_extension:snapshot_manage",
        *(*snapshots, "create", "--volume", volume, "--remote-source", "source-name=x", "x"),
    )
    refused(
        "nor let go of one",
        member,
        "snapshot_extension:snapshot_unmanage",
        *(*snapshots, "delete", "--remote", "s"),
        before=failed,
        after=one_failed,
    )
    refused(
        "a role that is none of Cinder's may not even list",
        people["other-role"],
        "volume:get_all_snapshots",
        *(*snapshots, "list"),
    )
    unknown = stranger.openstack(*snapshots, "show", snapshot)
    section.matches("a stranger does not find it by id", unknown.errors, f"No Snapshot found for {snapshot}")
    unknown = stranger.openstack(*snapshots, "delete", snapshot)
    section.matches(
        "nor can delete it",
        unknown.errors,
        f"Failed to delete snapshot with name or ID '{snapshot}': No Snapshot found for {snapshot}" + one_failed,
    )
    unknown = stranger.openstack(*snapshots, "create", "--volume", volume, "x")
    section.matches("nor snapshot its volume", unknown.errors, f"No Volume found for {volume}")
    section.equal(
        "after all that it is as it was",
        pick(admin.shown(*snapshots, "show", snapshot), "name", "status", "properties"),
        {"name": "s", "status": "available", "properties": {"a": "1"}},
    )

    theirs = openstack_checks.new_volume(stranger, "their-volume")
    their_snapshot = openstack_checks.new_snapshot(stranger, theirs, "their-snapshot")
    everything = ["their-snapshot", "s"]
    section.equal("an admin lists its own project", openstack_checks.names(admin), ["s"])
    section.equal("or all, when asked to", openstack_checks.names(admin, "--all-projects"), everything)
    section.equal("or another one by name", openstack_checks.names(admin, "--project", "beta"), ["their-snapshot"])
    section.equal("or by id", openstack_checks.names(admin, "--project", keystone.projects["alpha"]), ["s"])
    refused = member.openstack(*snapshots, "list", "--project", "beta")
    section.matches(
        "which a member may not",
        refused.errors,
        "BadRequestException: 400: .*, Invalid filters project_id are found in query options.",
    )
    section.equal("a member who asks for all gets its own", openstack_checks.names(member, "--all-projects"), ["s"])
    section.equal("so does a stranger", openstack_checks.names(stranger, "--all-projects"), ["their-snapshot"])
    section.equal(
        "an admin can see and change another project's",
        (
            admin.openstack(*snapshots, "set", "--property", "seen=yes", their_snapshot).code,
            stranger.shown(*snapshots, "show", "their-snapshot")["properties"],
        ),
        (0, {"seen": "yes"}),
    )
    section.equal("and delete it", admin.openstack(*snapshots, "delete", their_snapshot).code, 0)
    section.equal(
        "after which it goes", eventually(lambda: openstack_checks.names(admin, "--all-projects"), ["s"]), ["s"]
    )


def openstack_limits(section, app, people, keystone):
    admin, member, reader = (people[name] for name in ("admin", "member", "reader"))
    found = [row for row in reader.shown("versions", "show") if row["Service Type"] == "block-storage"]
    section.equal(
        "versions show finds the app in both regions",
        sorted((row["Region Name"], row["Version"], row["Min Microversion"], row["Max Microversion"]) for row in found),
        [("WithProject", "3.0", "3.0", "3.71"), ("WithoutProject", "3.0", "3.0", "3.71")],
    )
    openstack_checks.new_volume(member, "vol", "3")
    openstack_checks.new_snapshot(member, "vol", "s")

    def quota(who, *options):
        rows = who.shown("quota", "show", "--volume", *options)
        return {row["Resource"]: row for row in rows}

    section.equal(
        "quota show",
        {name: row["Limit"] for name, row in quota(reader).items() if name in ("snapshots", "volumes", "gigabytes")},
        {"snapshots": 10, "volumes": 10, "gigabytes": 1000},
    )
    section.equal(
        "quota show --usage",
        pick(quota(member, "--usage")["snapshots"], "Limit", "In Use", "Reserved"),
        {"Limit": 10, "In Use": 1, "Reserved": 0},
    )
    done = admin.openstack("quota", "set", "--snapshots", "1", "alpha")
    section.equal("quota set works for an admin", done.code, 0)
    section.equal("and counts", quota(member)["snapshots"]["Limit"], 1)
    section.equal("quota show --default stays", quota(admin, "--default")["snapshots"]["Limit"], 10)
    section.equal("the other project's stays", quota(admin, "beta")["snapshots"]["Limit"], 10)
    over = member.openstack("volume", "snapshot", "create", "--volume", "vol", "over")
    section.equal("a snapshot beyond it fails", over.code, 1)
    section.matches(
        "and says why",
        over.errors,
        "HttpException: 413: .*, SnapshotLimitExceeded: Maximum number of snapshots allowed \\(1\\) exceeded",
    )
    refused = member.openstack("quota", "set", "--snapshots", "100", "alpha")
    section.equal("quota set fails for a member", refused.code, 1)
    section.equal("and changes nothing", quota(member)["snapshots"]["Limit"], 1)
    section.equal("quota delete works for an admin", admin.openstack("quota", "delete", "--volume", "alpha").code, 0)
    section.equal("and brings the default back", quota(member)["snapshots"]["Limit"], 10)

    def absolute(who, *options):
        return {row["Name"]: row["Value"] for row in who.shown("limits", "show", "--absolute", *options)}

    names = ("max_total_snapshots", "total_snapshots_used", "total_gigabytes_used", "total_volumes_used")
    section.equal("limits show", pick(absolute(reader), *names), dict(zip(names, (10, 1, 6, 1), strict=True)))


def cinder_permissions(section, app, people, keystone):
    admin, member, reader, stranger = (people[name] for name in ("admin", "member", "reader", "stranger"))
    cinder_checks.new_volume(member, "vol")
    snapshot = cinder_checks.new_snapshot(member, "vol", "s")

    def forbidden(policy):
        return (1, f"ERROR: Policy doesn't allow {policy} to be performed. (HTTP 403)")

    section.equal("a reader finds it by name", cinder_checks.shown(reader, "s"), cinder_checks.shown(member, "s"))
    section.equal(
        "a reader cannot create",
        cinder_checks.refusal(reader.cinder("snapshot-create", "vol")),
        forbidden("volume:create_snapshot"),
    )
    section.equal(
        "nor rename",
        cinder_checks.refusal(reader.cinder("snapshot-rename", "s", "x")),
        forbidden("volume:update_snapshot"),
    )
    section.equal(
        "nor replace metadata",
        cinder_checks.refusal(reader.cinder("snapshot-metadata-update-all", "s", "k=v")),
        forbidden("volume:update_snapshot_metadata"),
    )
    section.equal(
        "a member cannot adopt",
        cinder_checks.refusal(member.cinder("snapshot-manage", "vol", "on-disk", version="3.0")),
        forbidden("snapshot_extension:snapshot_manage"),
    )
    section.equal(
        "nor let go",
        cinder_checks.refusal(member.cinder("snapshot-unmanage", "s")),
        forbidden("snapshot_extension:snapshot_unmanage"),
    )
    section.equal(
        "nor list what could be adopted",
        cinder_checks.refusal(member.cinder("snapshot-manageable-list", "anywhere")),
        forbidden("snapshot_extension:list_manageable"),
    )
    section.equal(
        "nor change quotas",
        cinder_checks.refusal(member.cinder("quota-update", "--snapshots", "99", keystone.projects["alpha"])),
        forbidden("volume_extension:quotas:update"),
    )
    reset = member.cinder("snapshot-reset-state", "--state", "error", "s")
    section.matches(
        "nor reset the status",
        reset.errors,
        "ERROR: .*Policy doesn't allow volume_extension:snapshot_admin_actions:reset_status to be performed.*HTTP 403.*",
    )
    section.equal(
        "a stranger does not find it by name",
        cinder_checks.refusal(stranger.cinder("snapshot-show", "s")),
        (1, "ERROR: No snapshot with a name or ID of 's' exists."),
    )
    section.equal(
        "nor by id",
        cinder_checks.refusal(stranger.cinder("snapshot-show", snapshot)),
        (1, f"ERROR: No snapshot with a name or ID of '{snapshot}' exists."),
    )
    cinder_checks.new_snapshot(stranger, cinder_checks.new_volume(stranger, "their-volume"), "their-snapshot")
    section.equal(
        "--all-tenants is for admins, and ignored for others",
        [sorted(cinder_checks.names(who, "--all-tenants", "1")) for who in (admin, member, stranger)],
        [["s", "their-snapshot"], ["s"], ["their-snapshot"]],
    )
    beta = keystone.projects["beta"]
    section.equal("--tenant is for admins", cinder_checks.names(admin, "--tenant", beta), ["their-snapshot"])
    section.equal(
        "and refused to others",
        cinder_checks.refusal(member.cinder("snapshot-list", "--tenant", beta)),
        (1, "ERROR: Invalid filters project_id are found in query options. (HTTP 400)"),
    )
    section.equal(
        "or ignored, before filters were looked at in 3.31",
        cinder_checks.names(member, "--tenant", beta, version="3.30"),
        ["s"],
    )
    section.equal(
        "an admin finds another project's by its name",
        cinder_checks.shown(admin, "their-snapshot")["os-extended-snapshot-attributes:project_id"],
        keystone.projects["beta"],
    )
    section.equal(
        "a filter that Cinder keeps from members",
        cinder_checks.refusal(member.cinder("snapshot-list", "--filters", "name~=s")),
        (1, "ERROR: Invalid filters name~ are found in query options. (HTTP 400)"),
    )


def sdk_permissions(section, app, people, keystone):
    admin, member, reader, stranger, other = (
        people[name].connect() for name in ("admin", "member", "reader", "stranger", "other-role")
    )
    volume = sdk_checks.new_volume(member, "vol")
    snapshot = sdk_checks.new_snapshot(member, volume, "s", metadata={"a": "1"})

    def forbidden(policy):
        return ("ForbiddenException", 403, f"Policy doesn't allow {policy} to be performed.")

    section.equal(
        "who made it, and for which project",
        (member.get_snapshot(snapshot.id).user_id, member.get_snapshot(snapshot.id).project_id),
        (member.session.get_user_id(), keystone.projects["alpha"]),
    )
    section.equal("a reader reads", reader.get_snapshot(snapshot.id).metadata, {"a": "1"})
    section.equal(
        "a reader cannot create",
        refusal(reader.create_snapshot, volume_id=volume.id, name="x"),
        forbidden("volume:create_snapshot"),
    )
    section.equal("nor delete", refusal(reader.delete_snapshot, snapshot.id), forbidden("volume:delete_snapshot"))
    section.equal(
        "nor set metadata",
        refusal(reader.set_snapshot_metadata, snapshot.id, b="2"),
        forbidden("volume:update_snapshot_metadata"),
    )
    section.equal(
        "nor say how far a snapshot is",
        refusal(reader.set_snapshot_status, snapshot.id, "available"),
        forbidden("snapshot_extension:snapshot_actions:update_snapshot_status"),
    )
    section.equal(
        "a member cannot reset the status",
        refusal(member.reset_snapshot_status, snapshot.id, "error"),
        forbidden("volume_extension:snapshot_admin_actions:reset_status"),
    )
    section.equal(
        "nor delete by force",
        refusal(member.delete_snapshot, snapshot.id, force=True),
        forbidden("volume_extension:snapshot_admin_actions:force_delete"),
    )
    section.equal(
        "nor adopt",
        refusal(member.manage_snapshot, volume_id=volume.id, ref={"source-name": "x"}),
        forbidden("snapshot_extension:snapshot_manage"),
    )
    section.equal(
        "nor let go",
        refusal(member.unmanage_snapshot, snapshot.id),
        forbidden("snapshot_extension:snapshot_unmanage"),
    )
    section.equal(
        "a role that is none of Cinder's cannot read",
        refusal(other.get_snapshot, snapshot.id),
        forbidden("volume:get_snapshot"),
    )
    section.equal(
        "a stranger does not see it",
        refusal(stranger.get_snapshot, snapshot.id),
        ("NotFoundException", 404, f"Snapshot {snapshot.id} could not be found."),
    )
    section.equal("nor in any list", list(stranger.snapshots(all_projects=True)), [])
    section.equal(
        "nor can reset its status",
        refusal(stranger.reset_snapshot_status, snapshot.id, "error")[1],
        404,
    )
    section.equal(
        "a quota of another project is refused",
        refusal(stranger.get_quota_set, keystone.projects["alpha"])[1],
        403,
    )
    section.equal(
        "an admin sees it among all projects",
        [each.project_id for each in admin.snapshots(all_projects=True)],
        [keystone.projects["alpha"]],
    )
    new = member.create_snapshot(volume_id=volume.id, name="new")
    member.set_snapshot_status(new.id, "error", progress="7%")
    found = admin.get_snapshot(new.id)
    section.equal("a member says how far a new snapshot is", (found.status, found.progress), ("error", "7%"))


def tokens(section, app, people, keystone):
    admin, member = people["admin"], people["member"]
    alpha, beta = keystone.projects["alpha"], keystone.projects["beta"]

    def answer(path, token=None, method="GET", **headers):
        if token is not None:
            headers["X-Auth-Token"] = token
        done = requests.request(method, f"{app.base}{path}", headers=headers, allow_redirects=False, timeout=60)
        return done.status_code, done.json() if done.content else None, done.headers

    def refused(path, token=None, **headers):
        """Returns the status, and the message of a fault of any name, or the whole body if it is not a fault."""
        status, body, _ = answer(path, token, **headers)
        content = next(iter(body.values()))
        return status, content.get("message") if isinstance(content, dict) else body

    unauthorized = (401, "The request you have made requires authentication.")

    for path, wanted in [("/", [300]), ("/v3", [200, 302]), ("/v3/", [200])]:
        section.equal(f"GET {path} is open to clients without a token", answer(path)[0] in wanted, True)
    section.equal(
        "and names the versions",
        pick(answer("/v3/")[1]["versions"][0], "id", "min_version", "version", "status"),
        {"id": "v3.0", "min_version": "3.0", "version": "3.71", "status": "CURRENT"},
    )
    section.equal("nothing else is", refused(f"/v3/{alpha}/snapshots"), unauthorized)
    section.equal(
        "with the place of Keystone",
        answer(f"/v3/{alpha}/snapshots")[2].get("WWW-Authenticate"),
        f'Keystone uri="{keystone.url}"',
    )
    section.equal("garbage is no token", refused(f"/v3/{alpha}/snapshots", "garbage"), unauthorized)
    section.equal("nor is a very long one", refused(f"/v3/{alpha}/snapshots", "x" * 10_000), unauthorized)
    section.equal(
        "nor do the headers of a front count",
        refused(
            f"/v3/{alpha}/snapshots",
            **{"X-Identity-Status": "Confirmed", "X-Project-Id": alpha, "X-User-Id": "u", "X-Roles": "admin"},
        ),
        unauthorized,
    )
    token = member.connect().session.get_token()
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    section.equal("nor is one with another signature", refused(f"/v3/{alpha}/snapshots", forged), unauthorized)
    section.equal("a token opens its project", answer(f"/v3/{alpha}/snapshots", token)[:2], (200, {"snapshots": []}))
    section.equal("and the path without a project", answer("/v3/snapshots", token)[:2], (200, {"snapshots": []}))
    section.equal("but no other project's", refused(f"/v3/{beta}/snapshots", token), (400, "Malformed request url"))
    section.equal(
        "not for an admin either",
        refused(f"/v3/{beta}/snapshots", admin.connect().session.get_token()),
        (400, "Malformed request url"),
    )
    section.equal(
        "a token with X-Roles: admin beside it is no admin's",
        refused(f"/v3/{alpha}/os-snapshot-manage?host=x", token, **{"X-Roles": "admin"})[0],
        403,
    )

    with_token = {
        "OS_AUTH_TYPE": "admin_token",
        "OS_TOKEN": token,
        "OS_ENDPOINT": f"{app.base}/v3/{alpha}",
    }
    listed = member.terminal.run("openstack", ["volume", "snapshot", "list", "-f", "json"], with_token)
    section.equal("openstackclient takes a token instead of a password", listed.json(), [])
    done = member.openstack("token", "revoke", token)
    section.equal("openstack token revoke works", done.code, 0)
    section.equal(
        "a revoked token opens nothing, once the cache has forgotten it",
        eventually(lambda: refused(f"/v3/{alpha}/snapshots", token), unauthorized),
        unauthorized,
    )
    listed = member.terminal.run("openstack", ["volume", "snapshot", "list", "-f", "json"], with_token)
    section.matches("and openstackclient says so", f"{listed.code} {listed.errors}", "1 .*401.*")

    unscoped = keystone.token("member", unscoped=True)
    section.equal(
        "an unscoped token has no project to open",
        refused(f"/v3/{alpha}/snapshots", unscoped),
        (400, "Malformed request url"),
    )
    section.equal(
        "nor may it list",
        refused("/v3/snapshots", unscoped),
        (403, "Policy doesn't allow volume:get_all_snapshots to be performed."),
    )
    of_system = keystone.token("admin", system_scope="all")
    section.equal(
        "an admin's token for the system has none either",
        refused(f"/v3/{alpha}/snapshots", of_system),
        (400, "Malformed request url"),
    )
    section.equal("and lists nothing", refused("/v3/snapshots", of_system), (200, {"snapshots": []}))

    with keystone.with_short_tokens() as url:
        token = keystone.token("member", url=url, project_id=alpha)
        section.equal("a token that ends soon works until then", answer(f"/v3/{alpha}/snapshots", token)[0], 200)
    section.equal(
        "and not after",
        eventually(lambda: refused(f"/v3/{alpha}/snapshots", token), unauthorized),
        unauthorized,
    )


def credentials(section, app, people, keystone):
    member = people["member"]
    volume = sdk_checks.new_volume(member.connect(), "vol")
    snapshot = sdk_checks.new_snapshot(member.connect(), volume, "s")

    def credential(name, *options):
        """Creates an application credential of the member, and returns its variables for openstackclient."""
        made = member.shown("application", "credential", "create", name, *options)
        return {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_AUTH_URL": keystone.url,
            "OS_APPLICATION_CREDENTIAL_ID": made["ID"],
            "OS_APPLICATION_CREDENTIAL_SECRET": made["Secret"],
            "OS_REGION_NAME": member.openstack_variables["OS_REGION_NAME"],
        }

    def run(variables, *arguments):
        return member.terminal.run("openstack", ["volume", "snapshot", *arguments], variables)

    whole = credential("whole")
    section.equal(
        "an application credential is as good as its user",
        column(run(whole, "list", "-f", "json").json(), "Name"),
        ["s"],
    )
    reading = credential("reading", "--role", "reader")
    section.equal("one with the role reader reads", run(reading, "show", "s", "-f", "json").json()["id"], snapshot.id)
    section.matches(
        "and does no more",
        run(reading, "delete", "s").errors,
        ".*403.*Policy doesn't allow volume:delete_snapshot to be performed. 1 of 1 snapshots failed to delete.",
    )
    rules = '[{"service": "block-storage", "method": "GET", "path": "/v3/snapshots/*"}]'
    limited = credential("limited", "--access-rules", rules)
    section.equal(
        "one that is limited to some requests may do those",
        run(limited, "show", snapshot.id, "-f", "json").json()["name"],
        "s",
    )
    section.matches(
        "and no others", run(limited, "delete", snapshot.id).errors, ".*401.*1 of 1 snapshots failed to delete."
    )
    other = credential("other", "--access-rules", rules.replace("block-storage", "compute"))
    section.equal("nor does a rule of another service help", run(other, "show", snapshot.id).code, 1)


def without_a_keystone(section, app, people, keystone, start):
    """Checks an app that cannot use Keystone. It must reject every token, and discovery must still work."""
    token = keystone.token("member", project_id=keystone.projects["alpha"])
    for name, variables in [
        ("nobody answers at keystone_url", {"keystone_url": "http://127.0.0.1:1/v3"}),
        ("keystone_password is wrong", {"keystone_password": "wrong"}),
        ("keystone_user is unknown", {"keystone_user": "nobody"}),
        ("keystone_project is unknown", {"keystone_project": "nowhere"}),
    ]:
        with start(variables) as lonely:
            done = requests.get(f"{lonely.base}/v3/snapshots", headers={"X-Auth-Token": token}, timeout=60)
            section.equal(
                f"a token is not believed when {name}",
                (done.status_code, done.json()["serviceUnavailable"]["message"]),
                (503, "The Keystone service is temporarily unavailable."),
            )
            section.equal("and discovery goes on", requests.get(f"{lonely.base}/v3/", timeout=60).status_code, 200)
            missing = requests.get(f"{lonely.base}/v3/snapshots", timeout=60).status_code
            section.equal("and without a token it is a 401 as ever", missing, 401)

    password = keystone.passwords["other-service"]
    with start({"keystone_user": "other-service", "keystone_password": password}) as lonely:

        def status():
            return requests.get(f"{lonely.base}/v3/snapshots", headers={"X-Auth-Token": token}, timeout=60).status_code

        section.equal("another user with the role service may validate tokens", status(), 200)
        keystone.enable("other-service", False)
        section.equal("a token is not believed once that user is disabled", eventually(status, 503), 503)
        keystone.enable("other-service", True)
        section.equal("but is once it is enabled, with a new token of its own", eventually(status, 200), 200)


SCENARIOS = [openstack_permissions, openstack_limits, cinder_permissions, sdk_permissions, tokens, credentials]
