#!/usr/bin/env python3
"""What is in files of mails, as Python's email reads it.

    maildir.py FILE...

A line of JSON for each: name (the file's), raw (the mail below what the
receiver wrote over it: Return-Path, X-Original-To, Delivered-To, Received),
received, subject, from, to, text, html, files (name, type, content in base64).
"""
import base64
import email
import email.policy
import json
import re
import sys

ADDED = re.compile(rb"(Return-Path|X-Original-To|Delivered-To|Received):"
                   rb".*\n([ \t].*\n)*")


def content(mail, kind):
    part = mail.get_body((kind,))
    return None if part is None else part.get_content()


def describe(file):
    raw = open(file, "rb").read()
    added = b""
    while match := ADDED.match(raw):
        added += match[0]
        raw = raw[match.end():]
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    return {
        "name": file, "raw": raw.decode("latin-1"),
        "received": added.decode("latin-1"),
        "subject": mail["Subject"], "from": mail["From"], "to": mail["To"],
        "text": content(mail, "plain"), "html": content(mail, "html"),
        "files": [{"name": part.get_filename(),
                   "type": part.get_content_type(),
                   "content": base64.b64encode(
                       part.get_payload(decode=True)).decode()}
                  for part in mail.iter_attachments()]}


for path in sys.argv[1:]:
    print(json.dumps(describe(path)))
