# The live writer: runs inside `odoo shell`, so that every file is written, deleted and collected by Odoo's own code. Creates,
# rewrites and deletes attachments, gives some transactions up, collects garbage far more often than once a day, and
# throws asset bundles away. Each transaction leaves a line in a journal, with the moments before and after its COMMIT:
# that journal is the truth that recovered instances are compared with. SETTINGS stands before this text.

import hashlib
import json
import os
import random
import time

chance = random.Random(SETTINGS["seed"])
Attachment = env["ir.attachment"]
partners = env["res.partner"].search([]).ids
# Id and birth, oldest first. Nothing is given up before it is ten seconds old: with a collection every 20 seconds instead of
# once a day, contents that come and go between two captures would be common.
alive = []
contents = []
journal = open(SETTINGS["journal"], "a", buffering=1)


def content():
    # One in eight is a content that some attachment has or had: files are shared, and come back after they were collected.
    if contents and chance.random() < 0.125:
        return chance.choice(contents)
    size = min(int(chance.lognormvariate(9.2, 1.4)) + 1, 4_000_000)
    made = b"journal %d\n" % len(contents) + chance.randbytes(size)
    contents.append(made)
    if len(contents) > 400:
        contents.pop(chance.randrange(len(contents)))
    return made


def commit(kind, changes):
    """COMMIT, and its line in the journal: id to SHA-1, null for an attachment that is gone."""
    env.flush_all()
    before = time.time()
    env.cr.commit()
    line = {"before": before, "after": time.time(), "kind": kind, "changes": changes}
    journal.write(json.dumps(line) + "\n")


def note(kind, **more):
    journal.write(json.dumps({"after": time.time(), "kind": kind, **more}) + "\n")


def create():
    values = []
    for _ in range(chance.choice((1, 1, 2, 4))):
        made = content()
        values.append({"name": SETTINGS["name"], "raw": made})
        if chance.random() < 0.7:
            values[-1].update(res_model="res.partner", res_id=chance.choice(partners))
    made = Attachment.create(values)
    return {one.id: hashlib.sha1(each["raw"]).hexdigest() for one, each in zip(made, values)}


def old():
    """How many of `alive` may be given up."""
    return sum(birth < time.time() - SETTINGS["life"] for _, birth in alive)


def step():
    kind = chance.random()
    if kind < 0.05:
        create()
        env.flush_all()
        env.cr.rollback()
        note("rolled back")
    elif kind < 0.15 and old() > 10:
        (one, _), made = alive.pop(chance.randrange(old())), content()
        Attachment.browse(one).write({"raw": made})
        commit("rewritten", {one: hashlib.sha1(made).hexdigest()})
        alive.append((one, time.time()))
    elif kind < 0.35 and old() > 10:
        gone = [alive.pop(chance.randrange(old()))[0] for _ in range(2)]
        Attachment.browse(gone).unlink()
        commit("deleted", dict.fromkeys(gone))
    else:
        changes = create()
        commit("created", changes)
        alive.extend((one, time.time()) for one in changes)
    env.invalidate_all()


def collect():
    filestore = Attachment._filestore()
    count = lambda: sum(len(files) for at, _, files in os.walk(filestore) if "checklist" not in at)
    files = count()
    begun = time.time()
    done = Attachment._gc_file_store() is not False
    note("collected", done=done, removed=files - count(), seconds=time.time() - begun)


next_collection = time.time() + SETTINGS["collect_every"]
next_bundles = time.time() + SETTINGS["bundles_every"]
pause = 1 / SETTINGS["rate"]
note("begun")
while not os.path.exists(SETTINGS["stop"]):
    begun = time.time()
    step()
    if time.time() > next_bundles:
        Attachment.regenerate_assets_bundles()
        commit("bundles thrown away", {})
        next_bundles = time.time() + SETTINGS["bundles_every"]
    if time.time() > next_collection:
        collect()
        next_collection = time.time() + SETTINGS["collect_every"]
    time.sleep(max(0, pause - (time.time() - begun)))
note("ended")
