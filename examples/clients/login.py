#!/usr/bin/env python3
"""Asks authsvc about one login: AUTHSVC_URL=https://... AUTHSVC_KEY=... login.py USERNAME <PASSWORD
Exit code: 0 let the user in, 1 do not, 2 unknown, try later, 3 somebody must mend something."""
import http.client, json, os, re, sys, urllib.parse

WRONG, CHANGE = "Wrong username or password.", "Your password must be changed before you can log in."
REFUSED = {1: WRONG, 2: WRONG, 3: "Your account is locked.", 4: "Your account is disabled.",
           5: "Your account has expired.", 6: CHANGE, 7: CHANGE, 8: "You may not use this service."}

def login(username, password):
    username = username.strip()  # the password is never trimmed
    if (re.search("[\0-\x1f\x7f-\x9f\ud800-\udfff]", username) or not 1 <= len(username.encode()) <= 256
            or re.search("[\0\ud800-\udfff]", password) or not 1 <= len(password.encode()) <= 1024):
        return 1, WRONG
    url = urllib.parse.urlsplit(os.environ["AUTHSVC_URL"])
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.hostname, url.port, timeout=15)  # longer than AUTH_TIMEOUT; follows no redirect
    status, seconds, text = None, "", b""
    try:
        connection.request("POST", "/auth", json.dumps({"username": username, "password": password}), {
            "Content-Type": "application/json", "Authorization": "Bearer " + os.environ.get("AUTHSVC_KEY", "")})
        response = connection.getresponse()
        seconds, text = response.getheader("Retry-After", ""), response.read()
        status = json.loads(text)["status"]
        if type(status) is not int:  # False == 0
            raise ValueError("no status")
    except Exception as error:  # no connection, no answer in time, or one that is not authsvc's
        print("authsvc:", repr(error), text[:300], file=sys.stderr)
        status = None
    finally:
        connection.close()
    if status in (None, 9, 11, 12, 13):
        reason = "Too many attempts." if status == 9 else "Login is not possible at the moment."
        return 2, f"{reason} Try again in {seconds if seconds.isdecimal() else 30} seconds."
    if status == 0:
        return 0, "Welcome."
    if status in REFUSED:
        return 1, REFUSED[status]
    print("authsvc:", text, file=sys.stderr)  # with the request ID
    return 3, "Login is out of order."

if __name__ == "__main__":
    code, message = login(sys.argv[1], sys.stdin.readline().rstrip("\n"))
    print(message)
    sys.exit(code)
