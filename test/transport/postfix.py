#!/usr/bin/env python3
"""Postfix from Debian, downloaded and not installed, run by whoever we are.

    postfix.py FOLDER

Unpacks the packages postfix, libnss-wrapper and libuid-wrapper into FOLDER,
makes a configuration there, and starts Postfix on a free port of 127.0.0.1.
Its first line on standard output is "port N"; or "skipped: REASON" where that
cannot be done here. It ends with its standard input.

Postfix wants to be started by root and to become other users: uid_wrapper
makes it believe that it does, and nss_wrapper that these users, all of them
ourselves, are in the system. Nothing outside FOLDER is written.

What arrives for NAME@example.com is a file in FOLDER/mail/NAME/new, as it was
received below the lines Return-Path, Delivered-To and Received. Unknown
names are refused at RCPT (550), who says EHLO early.example.com is put off
(450), and mails of more than 100,000 bytes are refused (552). STARTTLS uses
FOLDER/cert and FOLDER/key.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

PACKAGES = ["postfix", "libnss-wrapper", "libuid-wrapper"]

MAIN = """
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {root}/etc/postfix
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C PATH HOME
 LD_PRELOAD LD_LIBRARY_PATH UID_WRAPPER UID_WRAPPER_ROOT
 NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
export_environment = $import_environment
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.example.com
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_transport = error:no local mail
default_transport = error:nothing leaves
virtual_mailbox_domains = example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {names} }}
virtual_transport = virtual
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_recipient_restrictions = reject_unauth_destination
 check_helo_access inline:{{ {{ early.example.com = 450 4.7.1 come back later }} }}
message_size_limit = 100000
smtpd_tls_cert_file = {folder}/cert
smtpd_tls_key_file = {folder}/key
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtputf8_enable = yes
"""

MASTER = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

QUEUES = ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
          "incoming", "maildrop", "pid", "private", "public", "saved",
          "trace"]

NAMES = ["ann", "bob", "cleo", "grey"]


class Skip(Exception):
    """It cannot be run here."""


def unpack(folder):
    """Downloads and unpacks the packages; the folder of the files."""
    root = folder / "root"
    for package in PACKAGES:
        run = subprocess.run(["apt-get", "-qq", "download", package],
                             cwd=folder, capture_output=True, text=True)
        files = list(folder.glob(package + "_*.deb"))
        if run.returncode != 0 or not files:
            raise Skip(f"{package} cannot be downloaded")
        subprocess.run(["dpkg", "-x", files[0], root], check=True)
    return root


def wrapper(root, name):
    """The library of a wrapper."""
    found = sorted(root.glob(f"usr/lib/*/lib{name}_wrapper.so"))
    if not found:
        raise Skip(f"no {name}_wrapper in its package")
    return str(found[0])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def configure(folder, root, port):
    """Writes the configuration; the environment to run in."""
    uid, gid = os.getuid(), os.getgid()
    for name in ["etc", "data", "mail"] + [f"spool/{q}" for q in QUEUES]:
        (folder / name).mkdir(parents=True)
    names = ", ".join(f"{{ {name}@example.com = {name}/ }}"
                      for name in NAMES)
    (folder / "etc/main.cf").write_text(MAIN.format(
        folder=folder, root=root, uid=uid, gid=gid, names=names))
    (folder / "etc/master.cf").write_text(MASTER.format(port=port))
    (folder / "passwd").write_text(
        "root:x:0:0:root:/:/bin/false\n"
        f"postfix:x:{uid}:{gid}:postfix:/:/bin/false\n"
        "nobody:x:65534:65534:nobody:/:/bin/false\n")
    (folder / "group").write_text(
        f"root:x:0:\npostfix:x:{gid}:\npostdrop:x:{gid + 1}:\n"
        "nogroup:x:65534:\n")
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_PRELOAD": wrapper(root, "nss") + ":" + wrapper(root, "uid"),
        "LD_LIBRARY_PATH": str(root / "usr/lib/postfix"),
        "UID_WRAPPER": "1", "UID_WRAPPER_ROOT": "1",
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
        "MAIL_CONFIG": str(folder / "etc"),
    }


def await_port(port, process, log):
    """Waits until somebody greets there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                if client.recv(100).startswith(b"220"):
                    return
        except OSError:
            pass
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    said = log.read_text() if log.exists() else "nothing was logged"
    raise Skip("Postfix does not start here: " +
               " / ".join(said.splitlines()[-3:]))


def main():
    folder = pathlib.Path(sys.argv[1]).absolute()
    process = None
    try:
        if shutil.which("dpkg") is None:
            raise Skip("no Debian")
        root = unpack(folder)
        port = free_port()
        environment = configure(folder, root, port)
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM",
             root / "usr/lib/postfix/sbin/master", "-c", folder / "etc",
             "-d"], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        await_port(port, process, folder / "log")
        print(f"port {port}", flush=True)
        sys.stdin.read()
    except Skip as reason:
        print(f"skipped: {reason}", flush=True)
    finally:
        if process is not None:
            process.terminate()
            process.wait()
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


main()
