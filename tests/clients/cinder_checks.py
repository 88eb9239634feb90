"""Checks of the app with cinderclient. The caller in every scenario is an administrator."""

from caller import column, eventually, pick

NOWHERE = "11111111-2222-3333-4444-555555555555"


def new_volume(caller, name, size="1"):
    """Creates a volume with cinderclient, waits until it is available, and returns its id."""
    identity = caller.cinder("create", size, "--name", name).properties()["id"]
    status = eventually(lambda: caller.cinder("show", identity).properties()["status"], "available")
    if status != "available":
        raise RuntimeError(f"the volume {name} is {status}")
    return identity


def new_snapshot(caller, volume, name, *options):
    """Creates a snapshot with cinderclient, waits until it is available, and returns its id."""
    identity = caller.cinder("snapshot-create", volume, "--name", name, *options).properties()["id"]
    status = eventually(lambda: shown(caller, identity)["status"], "available")
    if status != "available":
        raise RuntimeError(f"the snapshot {name} is {status}")
    return identity


def shown(caller, snapshot, version="3.71"):
    return caller.cinder("snapshot-show", snapshot, version=version).properties()


def names(caller, *options, version="3.71"):
    """Returns the names in the order of the table. Without --sort cinderclient sorts by id."""
    return column(caller.cinder("snapshot-list", *options, version=version).rows(), "Name")


def refusal(done):
    """Returns the exit code and the errors of a failed command, without the request id."""
    return done.code, done.errors.strip().split(" (Request-ID:")[0]


def life(section, app, caller):
    versions = caller.cinder("version-list").rows()
    section.equal(
        "version-list shows what the server has",
        [pick(row, "Id", "Status", "Min Version", "Version") for row in versions],
        [{"Id": "v3.0", "Status": "CURRENT", "Min Version": "3.0", "Version": "3.71"}],
    )
    section.equal(
        "api-version shows it too",
        caller.cinder("api-version").rows(),
        [{"ID": "v3.0", "Status": "CURRENT", "Version": "3.71", "Min_version": "3.0"}],
    )
    volume = new_volume(caller, "vol", "2")
    old = caller.cinder("snapshot-create", "vol", "--name", "old", version="3.0").properties()
    section.equal(
        "snapshot-create at 3.0, which sends a false force",
        {name: value for name, value in old.items() if name not in ("id", "created_at")},
        {
            "name": "old",
            "description": "None",
            "metadata": "{}",
            "size": "2",
            "status": "creating",
            "updated_at": "None",
            "volume_id": volume,
        },
    )
    new = caller.cinder(
        "snapshot-create", volume, "--name", "new", "--description", "why", "--metadata", "a=1", "b=2"
    ).properties()
    section.equal(
        "snapshot-create at 3.71 has the fields that came since",
        {name: value for name, value in new.items() if name not in ("id", "created_at", "user_id")},
        {
            "name": "new",
            "description": "why",
            "metadata": "{'a': '1', 'b': '2'}",
            "size": "2",
            "status": "creating",
            "updated_at": "None",
            "volume_id": volume,
            "group_snapshot_id": "None",
            "consumes_quota": "True",
        },
    )
    section.equal(
        "a new snapshot becomes available", eventually(lambda: shown(caller, "new")["status"], "available"), "available"
    )
    complete = shown(caller, "new")
    section.equal(
        "snapshot-show by name has progress and project",
        pick(
            complete,
            "id",
            "os-extended-snapshot-attributes:progress",
            "os-extended-snapshot-attributes:project_id",
            "description",
        ),
        {
            "id": new["id"],
            "os-extended-snapshot-attributes:progress": "100%",
            "os-extended-snapshot-attributes:project_id": caller.project_id,
            "description": "why",
        },
    )
    section.equal("snapshot-show by id is the same", shown(caller, new["id"]), complete)
    section.equal(
        "snapshot-show at 3.0 has none of the later fields",
        sorted(set(complete) - set(shown(caller, "new", version="3.0"))),
        ["consumes_quota", "group_snapshot_id", "user_id"],
    )
    eventually(lambda: shown(caller, "old")["status"], "available")
    section.equal(
        "snapshot-list",
        [
            pick(row, "ID", "Volume ID", "Status", "Name", "Size")
            for row in caller.cinder("snapshot-list", "--sort", "created_at:desc").rows()
        ],
        [
            {"ID": new["id"], "Volume ID": volume, "Status": "available", "Name": "new", "Size": "2"},
            {"ID": old["id"], "Volume ID": volume, "Status": "available", "Name": "old", "Size": "2"},
        ],
    )
    section.equal(
        "snapshot-rename works", caller.cinder("snapshot-rename", "new", "newer", "--description", "because").code, 0
    )
    section.equal(
        "and changes both",
        pick(shown(caller, new["id"]), "name", "description"),
        {"name": "newer", "description": "because"},
    )
    section.equal(
        "snapshot-reset-state works", caller.cinder("snapshot-reset-state", "--state", "error", "newer", "old").code, 0
    )
    section.equal("and changes both", sorted(names(caller, "--status", "error")), ["newer", "old"])
    bad = caller.cinder("snapshot-reset-state", "--state", "nonsense", "old")
    section.equal("snapshot-reset-state to no status fails", bad.code, 1)
    section.matches(
        "and shows why",
        bad.errors,
        "ERROR: Reset state for snapshot old failed: Snapshot status: nonsense is invalid, valid statuses are: "
        r"\('error', 'available', .*\). \(HTTP 400\) .*",
    )

    mixed = caller.cinder("snapshot-delete", "nothing", "old")
    section.equal("snapshot-delete of an unknown and a known one goes on", mixed.code, 0)
    section.matches(
        "and names the unknown one",
        mixed.output,
        "Delete for snapshot nothing failed: No snapshot with a name or ID of 'nothing' exists.",
    )
    section.equal("the known one goes", eventually(lambda: names(caller), ["newer"]), ["newer"])
    caller.cinder("snapshot-reset-state", "--state", "deleting", "newer")
    busy = caller.cinder("snapshot-delete", "newer")
    section.equal("snapshot-delete of a busy one fails", busy.code, 1)
    section.matches(
        "and shows why",
        busy.output,
        "Delete for snapshot newer failed: Invalid snapshot: Snapshot status must be available or error and must not be "
        r"part of a group. \(HTTP 400\) .*",
    )
    section.equal("snapshot-delete --force works", caller.cinder("snapshot-delete", "--force", "newer").code, 0)
    section.equal("and it goes", eventually(lambda: names(caller), []), [])


def properties(section, app, caller):
    new_volume(caller, "vol")
    new_snapshot(caller, "vol", "s", "--metadata", "a=1")

    def metadata():
        return caller.cinder("snapshot-metadata-show", "s").properties()

    section.equal("snapshot-metadata-show", metadata(), {"a": "1"})
    section.equal("snapshot-metadata set works", caller.cinder("snapshot-metadata", "s", "set", "b=2", "c=3").code, 0)
    section.equal("and merges", metadata(), {"a": "1", "b": "2", "c": "3"})
    section.equal("snapshot-metadata unset works", caller.cinder("snapshot-metadata", "s", "unset", "a", "b").code, 0)
    section.equal("and removes these", metadata(), {"c": "3"})
    section.equal(
        "snapshot-metadata-update-all shows what is left",
        caller.cinder("snapshot-metadata-update-all", "s", "d=4", "e=5").properties(),
        {"metadata": "{'d': '4', 'e': '5'}"},
    )
    section.equal("and replaces", metadata(), {"d": "4", "e": "5"})
    section.equal("metadata set of a volume works", caller.cinder("metadata", "vol", "set", "x=1", "y=2").code, 0)
    section.equal("metadata unset of a volume works", caller.cinder("metadata", "vol", "unset", "x").code, 0)
    section.equal("metadata-show shows what is left", caller.cinder("metadata-show", "vol").properties(), {"y": "2"})
    section.equal("metadata-update-all of a volume works", caller.cinder("metadata-update-all", "vol", "z=3").code, 0)
    section.equal("and replaces", caller.cinder("metadata-show", "vol").properties(), {"z": "3"})
    section.equal(
        "snapshot-metadata unset of what is not there fails",
        refusal(caller.cinder("snapshot-metadata", "s", "unset", "zzz")),
        (1, f"ERROR: Snapshot {shown(caller, 's')['id']} has no metadata with key zzz. (HTTP 404)"),
    )


def finding(section, app, caller):
    left = new_volume(caller, "left")
    right = new_volume(caller, "right")
    alpha = new_snapshot(caller, left, "alpha", "--metadata", "tier=gold", "owner=ops")
    beta = new_snapshot(caller, right, "beta", "--metadata", "tier=gold")
    new_snapshot(caller, left, "gamma")
    new_snapshot(caller, right, "alphabet")
    caller.cinder("snapshot-reset-state", "--state", "error", "beta")
    everything = ["alpha", "alphabet", "beta", "gamma"]

    def found(*options, **version):
        return sorted(names(caller, *options, **version))

    section.equal("snapshot-list follows the pages of the server", found(), everything)
    section.equal("--name", found("--name", "alpha"), ["alpha"])
    section.equal("--status", found("--status", "error"), ["beta"])
    section.equal("--volume-id", found("--volume-id", left), ["alpha", "gamma"])
    section.equal("--metadata", found("--metadata", "tier=gold"), ["alpha", "beta"])
    section.equal("--metadata with two keys", found("--metadata", "tier=gold", "owner=ops"), ["alpha"])
    section.equal("--filters name~= finds a part", found("--filters", "name~=alpha"), ["alpha", "alphabet"])
    section.equal(
        "--filters of two kinds", found("--filters", "name~=alpha", "--filters", f"volume_id={left}"), ["alpha"]
    )
    section.equal("--all-tenants", found("--all-tenants", "1"), everything)
    section.equal("--tenant", found("--tenant", caller.project_id), everything)
    section.equal("--tenant of none", found("--tenant", "b" * 32), [])
    section.equal("at 3.0", found("--status", "available", version="3.0"), ["alpha", "alphabet", "gamma"])
    section.equal("--sort name:asc", names(caller, "--sort", "name:asc"), everything)
    section.equal("--sort name:desc", names(caller, "--sort", "name:desc"), everything[::-1])
    section.equal(
        "--sort status:asc,name:desc",
        names(caller, "--sort", "status:asc,name:desc"),
        ["gamma", "alphabet", "alpha", "beta"],
    )
    by_age = ["--sort", "created_at:desc"]
    section.equal("--limit stops", names(caller, *by_age, "--limit", "2"), ["alphabet", "gamma"])
    section.equal("--marker goes on after it", names(caller, *by_age, "--marker", beta), ["alpha"])
    section.equal(
        "--marker with --limit and --sort",
        names(caller, "--marker", alpha, "--limit", "2", "--sort", "name:asc"),
        ["alphabet", "beta"],
    )
    counted = caller.cinder("snapshot-list", *by_age, "--limit", "1", "--with-count")
    section.equal("--with-count lists a page", column(counted.rows(), "Name"), ["alphabet"])
    section.equal("and counts all", counted.output.splitlines()[-1], "Snapshot in total: 4")
    section.equal(
        "an unknown marker",
        refusal(caller.cinder("snapshot-list", "--marker", NOWHERE)),
        (1, f"ERROR: Snapshot {NOWHERE} could not be found. (HTTP 404)"),
    )
    section.equal(
        "an unknown sort key is refused by the client",
        caller.cinder("snapshot-list", "--sort", "nonsense").code,
        1,
    )
    section.equal(
        "snapshot-show of an unknown name",
        refusal(caller.cinder("snapshot-show", "nothing")),
        (1, "ERROR: No snapshot with a name or ID of 'nothing' exists."),
    )
    section.equal(
        "snapshot-show of an unknown id",
        refusal(caller.cinder("snapshot-show", NOWHERE)),
        (1, f"ERROR: No snapshot with a name or ID of '{NOWHERE}' exists."),
    )
    caller.cinder("snapshot-rename", "gamma", "alpha")
    section.matches(
        "snapshot-show of a name that two have",
        caller.cinder("snapshot-show", "alpha").errors,
        "ERROR: Multiple snapshot matches found for 'alpha', use an ID to be more specific.",
    )
    section.equal(
        "list-filters names what can be filtered by",
        caller.cinder("list-filters", "--resource", "snapshot").rows(),
        [{"Resource": "snapshot", "Filters": "name, status, volume_id, metadata, availability_zone, consumes_quota"}],
    )
    aliases = column(caller.cinder("list-extensions").rows(), "Alias")
    section.equal(
        "list-extensions has those of snapshots",
        sorted(alias for alias in aliases if "snapshot" in alias),
        [
            "cgsnapshots",
            "os-extended-snapshot-attributes",
            "os-snapshot-actions",
            "os-snapshot-manage",
            "os-snapshot-unmanage",
        ],
    )


def adoption(section, app, caller):
    volume = new_volume(caller, "vol")
    adopted = caller.cinder(
        "snapshot-manage",
        "vol",
        "on-disk",
        "--name",
        "adopted",
        "--description",
        "d",
        "--metadata",
        "k=v",
        version="3.0",
    ).properties()
    section.equal(
        "snapshot-manage shows the snapshot",
        pick(adopted, "name", "description", "metadata", "volume_id", "size"),
        {"name": "adopted", "description": "d", "metadata": "{'k': 'v'}", "volume_id": volume, "size": "1"},
    )
    section.equal(
        "it becomes available", eventually(lambda: shown(caller, "adopted")["status"], "available"), "available"
    )
    by_id = caller.cinder("snapshot-manage", "vol", "4711", "--id-type", "source-id", "--name", "by-id").properties()
    section.equal("snapshot-manage with --id-type", by_id["name"], "by-id")
    eventually(lambda: shown(caller, "by-id")["status"], "available")
    host = caller.cinder("show", "vol").properties()["os-vol-host-attr:host"]
    for detailed in ("True", "False"):
        section.equal(
            f"snapshot-manageable-list --detailed {detailed} is empty",
            caller.cinder("snapshot-manageable-list", host, "--detailed", detailed).rows(),
            [],
        )
    section.equal(
        "snapshot-manageable-list of an unknown host",
        refusal(caller.cinder("snapshot-manageable-list", "nowhere", version="3.8")),
        (1, "ERROR: Service cinder-volume could not be found on host nowhere. (HTTP 404)"),
    )
    section.equal("snapshot-unmanage works", caller.cinder("snapshot-unmanage", "adopted").code, 0)
    section.equal("and lets go of it", eventually(lambda: names(caller), ["by-id"]), ["by-id"])
    caller.cinder("snapshot-reset-state", "--state", "creating", "by-id")
    section.equal(
        "snapshot-unmanage of a busy one",
        refusal(caller.cinder("snapshot-unmanage", "by-id")),
        (
            1,
            "ERROR: Invalid snapshot: Snapshot status must be available or error and must not be part of a group. (HTTP 400)",
        ),
    )


def limits(section, app, caller):
    def absolute():
        return {row["Name"]: row["Value"] for row in caller.cinder("absolute-limits").rows()}

    section.equal(
        "absolute-limits of a project that has nothing",
        absolute(),
        {
            "maxTotalBackupGigabytes": "1000",
            "maxTotalBackups": "10",
            "maxTotalSnapshots": "10",
            "maxTotalVolumeGigabytes": "1000",
            "maxTotalVolumes": "10",
            "totalBackupGigabytesUsed": "0",
            "totalBackupsUsed": "0",
            "totalGigabytesUsed": "0",
            "totalSnapshotsUsed": "0",
            "totalVolumesUsed": "0",
        },
    )
    used = ("totalGigabytesUsed", "totalSnapshotsUsed", "totalVolumesUsed")
    new_volume(caller, "vol", "3")
    new_snapshot(caller, "vol", "s")
    section.equal(
        "a volume and its snapshot count, both with their size", [absolute()[name] for name in used], ["6", "1", "1"]
    )
    section.equal("rate-limits is empty", caller.cinder("rate-limits").rows(), [])
    section.equal(
        "quota-update shows the new quota",
        pick(
            caller.cinder("quota-update", "--snapshots", "1", caller.project_id).properties(),
            "snapshots",
            "volumes",
        ),
        {"snapshots": "1", "volumes": "10"},
    )
    section.equal(
        "quota-show too",
        pick(caller.cinder("quota-show", caller.project_id).properties(), "snapshots", "volumes"),
        {"snapshots": "1", "volumes": "10"},
    )
    section.equal(
        "quota-defaults shows the old one",
        pick(caller.cinder("quota-defaults", caller.project_id).properties(), "snapshots", "volumes"),
        {"snapshots": "10", "volumes": "10"},
    )
    usage = {row["Type"]: row for row in caller.cinder("quota-usage", caller.project_id).rows()}
    section.equal(
        "quota-usage shows what is used of it",
        pick(usage["snapshots"], "In_use", "Reserved", "Limit"),
        {"In_use": "1", "Reserved": "0", "Limit": "1"},
    )
    section.equal(
        "one snapshot more than the quota",
        refusal(caller.cinder("snapshot-create", "vol", "--name", "over")),
        (1, "ERROR: SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded (HTTP 413)"),
    )
    caller.cinder("quota-update", "--snapshots", "5", "--gigabytes", "8", caller.project_id)
    section.matches(
        "more gigabytes than the quota",
        caller.cinder("snapshot-create", "vol", "--name", "over").errors,
        r"ERROR: VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested 3G, "
        r"quota is 8G and 6G has been consumed. \(HTTP 413\) .*",
    )
    section.equal("nothing came of either", names(caller), ["s"])
    section.equal("quota-delete works", caller.cinder("quota-delete", caller.project_id).code, 0)
    section.equal(
        "and the default is back", caller.cinder("quota-show", caller.project_id).properties()["snapshots"], "10"
    )
    caller.cinder("snapshot-delete", "s")
    eventually(lambda: names(caller), [])
    section.equal(
        "what is deleted counts no longer",
        eventually(lambda: [absolute()[name] for name in used], ["3", "0", "1"]),
        ["3", "0", "1"],
    )


def volumes(section, app, caller):
    volume = new_volume(caller, "vol", "2")
    snapshot = new_snapshot(caller, "vol", "s")
    section.equal(
        "create --snapshot-id with a size that is too small",
        refusal(caller.cinder("create", "1", "--snapshot-id", snapshot)),
        (
            1,
            "ERROR: Invalid input received: Volume size '1'GB cannot be smaller than the snapshot size 2GB. They must be >= "
            "original snapshot size. (HTTP 400)",
        ),
    )
    section.equal(
        "create --snapshot-id without a size",
        pick(caller.cinder("create", "--snapshot-id", snapshot, "--name", "equal").properties(), "size", "snapshot_id"),
        {"size": "2", "snapshot_id": snapshot},
    )
    section.equal(
        "create --snapshot-id of none",
        refusal(caller.cinder("create", "--snapshot-id", NOWHERE)),
        (1, f"ERROR: Snapshot {NOWHERE} could not be found. (HTTP 404)"),
    )
    app.set_volume_status(volume, "in-use")
    refused = (
        f"ERROR: Invalid volume: Volume {volume} status must be available, but current status is: in-use. (HTTP 400)"
    )
    for version in ("3.0", "3.65"):
        section.equal(
            f"snapshot-create of a volume in use at {version}",
            refusal(caller.cinder("snapshot-create", "vol", "--name", "hot", version=version)),
            (1, refused),
        )
        forced = caller.cinder("snapshot-create", "vol", "--force", "True", "--name", f"hot{version}", version=version)
        section.equal(f"with --force True at {version}", forced.properties()["name"], f"hot{version}")
    section.equal(
        "without at 3.66",
        caller.cinder("snapshot-create", "vol", "--name", "hot", version="3.66").properties()["name"],
        "hot",
    )
    section.matches(
        "the client knows that 3.66 takes no false force",
        caller.cinder("snapshot-create", "vol", "--force", "False", version="3.66").errors,
        ".*force.*",
    )
    app.set_volume_status(volume, "available")
    for name in ("hot3.0", "hot3.65", "hot"):
        eventually(lambda name=name: shown(caller, name)["status"], "available")
    section.equal(
        "revert-to-snapshot of one that is not the latest",
        refusal(caller.cinder("revert-to-snapshot", "s")),
        (1, f"ERROR: Specified snapshot {snapshot} is None or not the latest one of volume {volume}. (HTTP 400)"),
    )
    section.equal("revert-to-snapshot of the latest", refusal(caller.cinder("revert-to-snapshot", "hot")), (0, ""))
    section.equal(
        "the volume becomes available again",
        eventually(lambda: caller.cinder("show", "vol").properties()["status"], "available"),
        "available",
    )
    eventually(lambda: shown(caller, "hot")["status"], "available")
    kept = caller.cinder("delete", "vol")
    section.equal("delete of a volume with snapshots fails", kept.code, 1)
    section.matches(
        "and shows why", kept.output, "Delete for volume vol failed: Invalid volume: .*have snapshots.*HTTP 400.*"
    )
    section.equal("delete --cascade works", caller.cinder("delete", "--cascade", "vol").code, 0)
    section.equal("its snapshots go", eventually(lambda: names(caller), []), [])
    section.equal(
        "the other volume stays",
        eventually(lambda: column(caller.cinder("list").rows(), "Name"), ["equal"]),
        ["equal"],
    )
    section.equal("backup-list is empty", caller.cinder("backup-list").rows(), [])
    section.equal(
        "backup-show, since there are none",
        refusal(caller.cinder("backup-show", NOWHERE)),
        (1, f"ERROR: No volumebackup with a name or ID of '{NOWHERE}' exists."),
    )


def texts(section, app, caller):
    new_volume(caller, "vol")
    long = caller.cinder("snapshot-create", "vol", "--name", "n" * 256)
    section.matches(
        "a name of more than 255 characters is refused",
        long.errors,
        r"ERROR: Invalid input for field/attribute name. Value: n+. 'n+' is too long \(HTTP 400\) .*",
    )
    value = caller.cinder("snapshot-create", "vol", "--metadata", "k=" + "v" * 256)
    section.matches(
        "so is a metadata value",
        value.errors,
        r"ERROR: Invalid input for field/attribute .* is too long \(HTTP 400\) .*",
    )
    section.equal(
        "snapshot-create of an unknown volume",
        refusal(caller.cinder("snapshot-create", NOWHERE)),
        (1, f"ERROR: No volume with a name or ID of '{NOWHERE}' exists."),
    )
    name = 'größe & <b>\' "quote"'
    identity = new_snapshot(caller, "vol", name)
    section.equal("a name may hold more than ASCII, and quotes", shown(caller, identity)["name"], name)
    section.equal("and is found by it", shown(caller, name)["id"], identity)
    newer = caller.cinder("snapshot-list", version="3.99")
    section.equal(
        "a version that the server does not have yet is asked down by the client", column(newer.rows(), "Name"), [name]
    )
    section.matches("which says so", newer.errors, ".*downgrading to 3.71 based on server support.*")


SCENARIOS = [life, properties, finding, adoption, limits, volumes, texts]
