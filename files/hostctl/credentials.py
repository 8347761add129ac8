"""The brokers' account files, as bytes."""

import base64
import xml.etree.ElementTree as ET
from typing import Any


def hivemq(users: list[dict[str, Any]], roles: list[dict[str, Any]]) -> bytes:
    """credentials.xml of the File RBAC extension (password-type HASHED)."""
    root = ET.Element("file-rbac")
    all_users = ET.SubElement(root, "users")
    for user in users:
        element = ET.SubElement(all_users, "user")
        ET.SubElement(element, "name").text = user["name"]
        ET.SubElement(element, "password").text = user["hash"]
        ids = ET.SubElement(element, "roles")
        for role in user["roles"]:
            ET.SubElement(ids, "id").text = role
    all_roles = ET.SubElement(root, "roles")
    for role in roles:
        element = ET.SubElement(all_roles, "role")
        ET.SubElement(element, "id").text = role["id"]
        permissions = ET.SubElement(element, "permissions")
        for permission in role["permissions"]:
            item = ET.SubElement(permissions, "permission")
            for key in ("topic", "activity", "qos", "retain"):
                if key in permission:
                    ET.SubElement(item, key).text = permission[key]
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def mosquitto_acl(users: list[dict[str, Any]], roles: list[dict[str, Any]]) -> bytes:
    """Lines of Mosquitto's access list: what each of these users may do by its roles."""
    permissions = {role["id"]: role["permissions"] for role in roles}
    words = {"PUBLISH": "write", "SUBSCRIBE": "read"}
    lines = []
    for user in users:
        lines.append(f"\nuser {user['name']}\n")
        lines += [f"topic {words[p['activity']]} {p['topic']}\n" for role in user["roles"] for p in permissions[role]]
    return "".join(lines).encode()


def mosquitto(users: list[dict[str, Any]]) -> bytes:
    """Mosquitto's password file: `$7$iterations$salt$key`, PBKDF2-HMAC-SHA512 with 64 bytes."""
    lines = []
    for user in users:
        salt, iterations, key = user["hash"].split(":")
        base64.b64decode(salt, validate=True)
        lines.append(f"{user['name']}:$7${iterations}${salt}${key}\n")
    return "".join(lines).encode()
