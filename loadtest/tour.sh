#!/usr/bin/env bash
# The commands of the README, as they stand there: bash loadtest/tour.sh [base-url], or with url=… before it
# Needs bash, curl 7.84 or later, and coreutils. Ends with 1 if a token that was changed, revoked or expired was not refused.
set -euo pipefail
case ${1:-} in -h | --help) echo 'bash loadtest/tour.sh [base-url]    default: http://localhost:8080'; exit ;; esac
url=${1:-${url:-http://localhost:8080}}
[[ $url == *://* ]] || url=http://$url
url=${url%/}
curl -s -o /dev/null "$url/health/live" || { echo "Nothing answers at $url: npm start, or docker compose up" >&2; exit 1; }
trap 'rm -f "${jar:-}"' EXIT
set -v
# --- tour
url=${url:-http://localhost:8080} user=ada-$RANDOM$RANDOM
ada='"username":"'$user'","password":"correct horse battery staple"'

# Sign up, and log in once.
curl -s $url/users --json "{$ada}"; echo
token=$(curl -s $url/auth/login --json "{$ada}" | cut -d'"' -f4)

# The same token, another server each time.
for i in 1 2 3 4 5 6; do
  curl -s -o /dev/null -w '%{http_code} from %header{x-served-by}\n' $url/whoami -H "authorization: Bearer $token"
done

# Whoever holds a token can read it, so nothing personal is in it.
payload=$(echo $token | cut -d. -f2 | tr '_-' '/+')
while ((${#payload} % 4)); do payload+='='; done
claims=$(echo $payload | base64 -d); echo "$claims"

# But nobody can change it: here it would live for thousands of years.
forged=$(echo "${claims/\"exp\":/\"exp\":9}" | base64 | tr -d '=\n' | tr '/+' '_-')
forged=${token%%.*}.$forged.${token##*.}
curl -s $url/whoami -H "authorization: Bearer $forged"; echo

# A token for one second, used after two.
short=$(curl -s $url/auth/login --json "{$ada,\"expires_in\":1}" | cut -d'"' -f4)
sleep 2
curl -s $url/whoami -H "authorization: Bearer $short"; echo

# Log out, on whichever server: from its answer on, none accepts the token.
curl -s -X POST $url/auth/logout -H "authorization: Bearer $token"; echo
for i in 1 2 3 4 5 6; do
  curl -s -o /dev/null -w '%{http_code} from %header{x-served-by}\n' $url/whoami -H "authorization: Bearer $token"
done
# --- end
# --- devices
# Two devices of one user.
eve='"username":"eve-'$RANDOM$RANDOM'"' old='correct horse battery staple' new='a battery for the new horse'
curl -s $url/users --json "{$eve,\"password\":\"$old\"}"; echo
phone=$(curl -s -A phone $url/auth/login --json "{$eve,\"password\":\"$old\"}" | cut -d'"' -f4)
laptop=$(curl -s -A laptop $url/auth/login --json "{$eve,\"password\":\"$old\"}" | cut -d'"' -f4)
curl -s $url/me/sessions -H "authorization: Bearer $laptop"; echo

# A new password: every other device is logged out, on every server.
curl -s -X PUT $url/me/password -H "authorization: Bearer $laptop" \
  --json "{\"old_password\":\"$old\",\"new_password\":\"$new\"}"; echo
curl -s $url/whoami -H "authorization: Bearer $phone"; echo

# Log out everywhere. The answer names what has just ended too, so a call that got no answer can be repeated.
curl -s -X DELETE $url/me/sessions -H "authorization: Bearer $laptop"; echo
curl -s $url/whoami -H "authorization: Bearer $laptop"; echo

# The tokens in cookies, as a browser would keep them: none in the answer, none that a script can read.
jar=$(mktemp)
curl -s -c $jar $url/auth/login --json "{$eve,\"password\":\"$new\",\"transport\":\"cookie\"}"; echo
curl -s -b $jar $url/whoami; echo

# A browser adds them whoever asks, so a page of another origin is refused; a page of this one is not.
curl -s -X POST -b $jar $url/auth/logout -H 'origin: https://elsewhere.example'; echo
curl -s -X POST -b $jar $url/auth/logout -H "origin: $url"; echo
# --- end
set +v

# TOKEN_REVOKED also says that the token was good until the logout: a forged or an expired one is refused as that.
expect() {
  local answer
  answer=$(curl -s "$url/whoami" -H "authorization: Bearer $2")
  [[ $answer == *"\"code\":\"$1\""* ]] || { echo "tour.sh: expected $1, got: $answer" >&2; exit 1; }
}
for _ in 1 2 3 4 5 6; do
  expect TOKEN_REVOKED "$token"
  expect TOKEN_INVALID "$forged"
  expect TOKEN_EXPIRED "$short"
  expect TOKEN_REVOKED "$phone"
  expect TOKEN_REVOKED "$laptop"
done
# And the cookies of the last login, which a page of this origin has logged out.
answer=$(curl -s -b "$jar" "$url/whoami")
[[ $answer == *'"code":"TOKEN_REVOKED"'* ]] || { echo "tour.sh: expected TOKEN_REVOKED by cookie, got: $answer" >&2; exit 1; }
echo 'All of it was as promised.'
