# Asks Barman's own modules, for the tests beside this file: one JSON list of questions on standard input, one of
# answers on standard output. Nothing of Barman is copied; its functions are called.

import datetime
import io
import json
import sys
import unicodedata

from barman import output  # noqa: F401  (newer versions want to be imported in this order)
from barman import cloud, infofile, retention_policies, xlog

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def micros(moment):
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def plain(value):
    if isinstance(value, datetime.datetime):
        return micros(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def info(question):
    backup = infofile.BackupInfo("20261123T101530")
    backup.load(file_object=io.BytesIO(question["text"].encode("utf-8")))
    saved = io.BytesIO()
    backup.save(file_object=saved)
    values = {name: plain(getattr(backup, name)) for name in question["fields"]}
    return {
        "values": values,
        "saved": saved.getvalue().decode("utf-8"),
        # Characters that this Python is too old to know are escaped, as if they did not print.
        "unknown": any(unicodedata.category(char) == "Cn" for char in question["text"]),
    }


def segment(question):
    size = question["size"]
    place = xlog.location_to_xlogfile_name_offset(question["lsn"], question["timeline"], size)
    name = place["file_name"]
    names = xlog.generate_segment_names(name, None, 150018, size)
    return {
        "name": name,
        "offset": place["file_offset"],
        "folder": xlog.hash_dir(name),
        "position": xlog.location_from_xlogfile_name_offset(name, place["file_offset"], size),
        "next": [next(names) for _ in range(4)],
    }


def name(question):
    text = question["text"]
    return {
        "any": xlog.is_any_xlog_file(text),
        "history": xlog.is_history_file(text),
        "label": xlog.is_backup_file(text),
        "partial": xlog.is_partial_file(text),
        "segment": xlog.is_wal_file(text),
    }


class Catalog:
    def __init__(self, backups, keeps):
        self.backups = backups
        self.keeps = keeps

    def get_backup_list(self):
        return self.backups

    def get_keep_target(self, backup_id):
        return self.keeps.get(backup_id)


def stop_clock(milliseconds):
    now = EPOCH + datetime.timedelta(milliseconds=milliseconds)

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return now

    retention_policies.datetime = Clock


def retention(question):
    stop_clock(question["now"])
    backups = {}
    for backup in question["backups"]:
        ended = EPOCH + datetime.timedelta(milliseconds=backup["endTime"])
        backups[backup["id"]] = infofile.BackupInfo(
            backup["id"], status=backup["status"], end_time=ended, server_name="cloud"
        )
    keeps = {b["id"]: b["keep"] for b in question["backups"] if b["keep"]}
    policy = retention_policies.RetentionPolicyFactory.create(
        "retention_policy",
        question["policy"],
        server_name="cloud",
        catalog=Catalog(backups, keeps),
    )
    policy.server.minimum_redundancy = question["minimum"]
    return {"report": policy.report(), "words": str(policy)}


class Bucket:
    """What Barman asks of a bucket, from a list of names and the content of some."""

    path = "some/where"

    def __init__(self, names, contents):
        self.names = ["some/where/" + name for name in names]
        self.contents = {"some/where/" + name: text for name, text in contents.items()}

    def list_bucket(self, prefix="", delimiter="/"):
        found = set()
        for name in self.names:
            if not name.startswith(prefix):
                continue
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                rest = rest[: rest.index(delimiter) + 1]
            found.add(prefix + rest)
        return iter(sorted(found))

    def delete_objects(self, names):
        self.names = [name for name in self.names if name not in names]

    def remote_open(self, name, decompressor=None):
        text = self.contents.get(name) if name in self.names else None
        return None if text is None else io.BytesIO(text.encode("utf-8"))


def archive(question):
    catalog = cloud.CloudBackupCatalog(Bucket(question["names"], question["contents"]), "server")
    below = len("some/where/server/")
    files = {}
    for backup_id, backup in catalog.get_backup_list().items():
        found = catalog.get_backup_files(backup, allow_missing=True)
        paths = []
        for entry in found.values():
            paths += [entry.path] + [more.path for more in entry.additional_files]
        files[backup_id] = sorted(path[below:] for path in paths if path)
    return {
        "files": files,
        "unreadable": sorted(catalog.unreadable_backups),
        "wal": sorted(path[below:] for path in catalog.get_wal_paths().values()),
        "keep": {id: catalog.get_keep_target(id) for id in catalog.get_backup_list()},
    }


def expiry(question):
    from barman.clients import cloud_backup_delete

    stop_clock(question["now"])
    bucket = Bucket(question["names"], question["contents"])
    before = list(bucket.names)
    catalog = cloud.CloudBackupCatalog(bucket, "server")
    policy = retention_policies.RetentionPolicyFactory.create(
        "retention_policy", question["policy"], server_name="server", catalog=catalog
    )
    verdicts = policy.report().items()
    for backup_id in sorted(id for id, verdict in verdicts if verdict == "OBSOLETE"):
        cloud_backup_delete._delete_backup(
            bucket, catalog, backup_id, dry_run=False, skip_wal_cleanup_if_standalone=False
        )
    below = len("some/where/server/")
    return sorted(name[below:] for name in before if name not in bucket.names)


ANSWERS = {
    "archive": archive,
    "expiry": expiry,
    "info": info,
    "name": name,
    "retention": retention,
    "segment": segment,
}

json.dump([ANSWERS[question["ask"]](question) for question in json.load(sys.stdin)], sys.stdout)
