#!/bin/sh
# Asks authsvc about one login: AUTHSVC_URL=https://... AUTHSVC_KEY=... login.sh USERNAME <PASSWORD
# Exit code: 0 let the user in, 1 do not, 2 unknown, try later, 3 somebody must mend something.
LC_ALL=C # lengths are bytes
end() { echo "$2"; exit "$1"; }
wrong="Wrong username or password."
username=$(printf %s "$1" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//') # the password is never trimmed
IFS= read -r password
case $username in '' | *[[:cntrl:]]*) end 1 "$wrong" ;; esac
if [ ${#username} -gt 256 ] || [ -z "$password" ] || [ ${#password} -gt 1024 ]; then end 1 "$wrong"; fi

# No list of processes shows the password or the key. 15 seconds are longer than AUTH_TIMEOUT.
answer=$(printf %s "$password" | curl -qsSi --noproxy '*' --connect-timeout 3 --max-time 15 --header @/dev/fd/3 \
	--data-urlencode "username=$username" --data-urlencode password@- "$AUTHSVC_URL/auth" 3<<-KEY
	Authorization: Bearer $AUTHSVC_KEY
	KEY
) || answer="" # what came of it may be cut
status=$(printf '%s\n' "$answer" | sed -n 's/^{"status":\([0-9][0-9]*\),.*/\1/p') # always the first member
seconds=$(printf '%s\n' "$answer" | tr -d '\r' | sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\)$/\1/p')
later="Try again in ${seconds:-30} seconds."
case $status in
0) end 0 "Welcome." ;;
1 | 2) end 1 "$wrong" ;;
3) end 1 "Your account is locked." ;;
4) end 1 "Your account is disabled." ;;
5) end 1 "Your account has expired." ;;
6 | 7) end 1 "Your password must be changed before you can log in." ;;
8) end 1 "You may not use this service." ;;
9) end 2 "Too many attempts. $later" ;;
'' | 11 | 12 | 13) printf '%s\n' "authsvc: $answer" >&2; end 2 "Login is not possible at the moment. $later" ;;
esac
printf '%s\n' "authsvc: $answer" >&2 # with the request ID
end 3 "Login is out of order."
