#!/usr/bin/python3
"""An image archive (docker-archive) of one static executable, for `ctr images import`: image.py [--program FILE] NAME OUT COMMAND...
Without a program it is busybox."""
import argparse
import hashlib
import io
import json
import os
import tarfile

parser = argparse.ArgumentParser()
parser.add_argument("--program", default="/bin/busybox")
parser.add_argument("name")
parser.add_argument("out")
parser.add_argument("command", nargs="+")
program, name, out, command = vars(parser.parse_args()).values()
APPLETS = "sh sleep ping nc wget ip cat httpd env nslookup echo hostname seq".split()


def add(archive, path, content):
    entry = tarfile.TarInfo(path)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as layer:
    layer.add(program, f"bin/{os.path.basename(program)}")
    for applet in APPLETS if program == "/bin/busybox" else []:
        link = tarfile.TarInfo(f"bin/{applet}")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        layer.addfile(link)
layer = buffer.getvalue()
layer_id = hashlib.sha256(layer).hexdigest()
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": command, "Env": ["PATH=/bin"]},
                     "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]}}).encode()
config_name = hashlib.sha256(config).hexdigest() + ".json"
with tarfile.open(out, "w") as archive:
    add(archive, config_name, config)
    add(archive, f"{layer_id}/layer.tar", layer)
    add(archive, "manifest.json", json.dumps([
        {"Config": config_name, "RepoTags": [name], "Layers": [f"{layer_id}/layer.tar"]}]).encode())
