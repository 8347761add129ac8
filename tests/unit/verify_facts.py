"""The facts of a studio's host on which everything is right, made from what is expected of it."""

import json
from typing import Any

import yaml

from studio.verify.expected import ACCOUNTS_UNIT, Expected

NOW = 1_800_000_000.0
UID, FIRST = 1001, 165536
TLS = {"error": None, "days_left": 300.0, "version": "TLSv1.3", "stranger": "self-signed", "plain": "refused"}


def _containers(expected: Expected) -> dict[str, Any]:
    found = {}
    for c in expected.containers:
        inside = int(expected.quadlet(c).get("User", ["0"])[0])
        uid = UID if inside == 0 else FIRST + inside - 1
        caps = dict.fromkeys(("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"), "0000000000000000")
        found[c["name"]] = {
            "running": True,
            "health": "healthy",
            "labels": {"sensor-pipeline.hash": c["hash"]},
            "image": c["image"],
            "image_is_current": True,
            "read_only": expected.quadlet(c).get("ReadOnly") == ["true"],
            "privileged": False,
            "process": {"Uid": f"{uid}\t{uid}\t{uid}\t{uid}", "NoNewPrivs": "1", "Seccomp": "2", **caps},
        }
    return found


def _tree(expected: Expected) -> dict[str, Any]:
    folder = {"kind": "folder", "mode": "0755", "uid": 0, "gid": 0}
    private = {"kind": "folder", "mode": "0700", "uid": 0, "gid": 0}
    listed = expected.manifest["files"]
    files = {
        p: {"kind": "file", "mode": f["mode"], "sha256": f["sha256"], "uid": 0, "gid": 0} for p, f in listed.items()
    }
    manifest = {"kind": "file", "mode": "0644", "sha256": "", "uid": 0, "gid": 0}
    return {
        "base": folder,
        "generations": folder,
        "current": {"kind": "link", "target": f"generations/{expected.bundle.generation}", "uid": 0, "gid": 0},
        "generation": {".": folder, "bin": folder, "manifest.json": manifest, **files},
        "secrets": {".": private, "broker-monit": {"kind": "file", "mode": "0600", "uid": 0, "gid": 0}},
        "state": {
            ".": folder,
            "hub/accounts": {"kind": "folder", "mode": "0700", "uid": FIRST + 10000, "gid": 0},
            "hivemq-rbac": folder,
            "hivemq-rbac/credentials.xml": {"kind": "file", "mode": "0400", "uid": FIRST + 9999, "gid": 0},
        },
        "extensions": {".": folder},
        "folders": {
            f["path"]: {"kind": "folder", "mode": f["mode"], "uid": FIRST + f["uid"] - 1, "gid": 0}
            for f in expected.folders
        },
        "quadlets": {"kind": "link", "target": "/var/lib/sensor-pipeline/current/quadlets"},
    }


def _broker(expected: Expected) -> dict[str, Any]:
    accounts = {}
    for about in expected.question()["accounts"]:
        granted = dict.fromkeys(about["may_subscribe"], "Granted QoS 1")
        refused = dict.fromkeys(about["may_not_subscribe"], "Not authorized")
        accounts[about["name"]] = {
            "connect": "Success",
            "subscribe": {**granted, **refused},
            "heard": [t for t in about["may_subscribe"] if t == expected.studio.topics.canary],
            "publish": dict.fromkeys(about["may_not_publish"], "Not authorized"),
        }
    strangers = ("anonymous", "wrong password", "unknown account", "no password")
    return {**dict.fromkeys(strangers, "Not authorized"), "canary": "Success", "accounts": accounts}


def _urls(expected: Expected) -> dict[str, Any]:
    def newest(label: str, name: str) -> dict[str, Any]:
        return {"metric": {label: name}, "value": [NOW, f"{NOW - 5}"]}

    furnaces = [newest("furnace", f.id) for f in expected.studio.furnaces]
    targets = [{"labels": {"job": job}, "health": "up", "lastError": ""} for job in expected.manifest["scrape_jobs"]]
    rules = [
        {"name": group, "rules": [{"name": name, "lastError": ""} for name in names]}
        for group, names in expected.manifest["rules"].items()
    ]
    routing = yaml.safe_load(expected.bundle.files["alertmanager/alertmanager.yml"].content)
    for route in routing["route"]["routes"]:
        # As Alertmanager tells them: in an order of its own.
        route["matchers"].sort()
    answers: dict[str, Any] = {
        "targets": {"data": {"activeTargets": targets}},
        "rules": {"data": {"groups": rules}},
        "alertmanager": {"config": {"original": yaml.safe_dump(routing)}},
        "alerts": [{"labels": {"alertname": "Watchdog"}}],
        "canary": {"data": {"result": [newest("studio", expected.studio.name)]}},
        "furnaces": {"data": {"result": furnaces}},
    }
    told = {name: {"status": 200, "text": "", "json": answer} for name, answer in answers.items()}
    answers = {
        "hub ready": {"status": "ok", "problems": {}},
        "hub series": {"data": {"result": [newest("studio", expected.studio.name)]}},
    }
    told |= {name: {"status": 200, "text": "", "json": answer} for name, answer in answers.items()}
    told |= {f"hub {name}": {"status": 401, "text": "", "json": None} for name in ("live view", "metrics", "devices")}
    told |= {
        f"hub {n} as scraper": {"status": s, "text": "", "json": None}
        for n, s in {"metrics": 200, "devices": 401}.items()
    }
    told["hub page"] = {"status": 200, "text": '<form method="post" action="/login">', "json": None}
    told["flags"] = {"status": 200, "text": '-other="1"\n-retentionPeriod="100y"\n', "json": None}
    healths = {f"health {c['name']}" for c in expected.components if c["health_url"]}
    return {**told, **{name: {"status": 200, "text": "OK", "json": None} for name in healths}}


def right(expected: Expected) -> dict[str, Any]:
    """Facts with which every check is fine."""
    manifest = expected.manifest
    unit = {"ActiveState": "active", "SubState": "running", "Wanted": "True", "MainPID": "0", "Seconds": "900"}
    units = {c["unit"]: unit for c in expected.components}
    hosted = {c["unit"]: {**units[c["unit"]], "MainPID": f"{500 + n}"} for n, c in enumerate(expected.host_services)}
    pids = {c["name"]: int(hosted[c["unit"]]["MainPID"]) for c in expected.host_services}
    listeners = [
        {"protocol": "tcp", "address": x["address"], "port": x["port"], "program": c["name"],
         "pids": [pids.get(c["name"], 900)], "uids": [0 if c["name"] in pids else UID]}
        for c in expected.components for x in c["listens"]
    ]  # fmt: skip
    listeners.append(
        {"protocol": "tcp", "address": "0.0.0.0", "port": 22, "program": "sshd", "pids": [72], "uids": [0]}
    )
    status = {
        "generation": expected.bundle.generation,
        "pending": None,
        "out_of_date": {},
        "problems": [],
        "secrets": [{"name": s["name"], "set": True} for s in manifest["secrets"]],
        "provisioned": {"accounts": 2, "left_out": [], "refused": None},
    }
    monitrc = expected.bundle.files["monit/monitrc"].content.decode().splitlines()
    monitored = [line.split()[2].strip('"') for line in monitrc if line.startswith("check ")]
    rules = expected.bundle.files["nftables/sensor-pipeline.nft"].content.decode()
    places = ("generations", "journal", "command lines", "environments", "podman inspect", "units")
    facts = {
        "now": NOW,
        "account": {"exists": True, "uid": UID, "groups": ["studio"], "linger": True, "subuid": [[FIRST, 65536]]},
        "packages": dict.fromkeys(manifest["packages"], "installed"),
        "user_units": {c["unit"]: units[c["unit"]] for c in expected.containers},
        "host_units": {**hosted, ACCOUNTS_UNIT: unit},
        "containers": _containers(expected),
        "listeners": listeners,
        "firewall": {"loaded": rules, "at_boot": "enabled"},
        "monit": {"code": 0, "said": "", "checks": dict.fromkeys(monitored, "OK")},
        "tree": _tree(expected),
        "broker": _broker(expected),
        "tls": {purpose: dict(TLS) for purpose in expected.secured},
        "urls": _urls(expected),
        "status": [0, json.dumps(status)],
        "secrets_present": [s["name"] for s in manifest["secrets"]],
        "leaks": {"secrets": ["broker-vector"], **{place: [] for place in places}},
    }
    return dict(json.loads(json.dumps(facts)))
