# shellcheck shell=bash
# Hosts, cables, servers and captures for the scripts beside this file; sourced, not run.
#
# `isolate` starts the calling script again in network, mount and process namespaces of its own: every host, cable,
# server and temporary file lives in there and ends with the script, however it ends, and nothing of the machine's own
# network is seen or changed. Needs root. (Rejected: named namespaces and a clean-up list on the machine itself, which a
# killed script leaves behind; user namespaces, in which tcpdump, sshd and /dev/net/tun do not work.)
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin

say() { echo "$(basename "$0"): $*" >&2; }
skip() { say "SKIPPED, LOUDLY: $*"; }
die() { say "$*"; exit 1; }

# Whether `isolate` can work here.
can_isolate() { [ "$(id -u)" = 0 ] && unshare --net --mount --pid --fork true 2>/dev/null; }

# isolate "$@": goes on only inside the namespaces, with a private /run in memory ($WORK is in there).
isolate() {
  if [ "${MRULE_ISOLATED:-}" != 1 ]; then
    can_isolate || die "needs root that may make namespaces (unshare was refused)"
    MRULE_ISOLATED=1 exec unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@"
  fi
  mount -t tmpfs tmpfs /run
  mkdir -p /run/netns /run/sshd /run/work
  WORK=/run/work
  ip link set lo up
}

need() { local t; for t; do command -v "$t" >/dev/null || die "needs $t, which is not installed"; done; }

# host NAME...: a namespace each, with loopback and no delays for duplicate address detection.
host() {
  local h
  for h; do
    ip netns add "$h"
    on "$h" ip link set lo up
    on "$h" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
      net.ipv4.ping_group_range='0 0'
  done
}

on() { local h=$1; shift; ip netns exec "$h" "$@"; }

# cable HOST1 DEV1 HOST2 DEV2: a veth pair, up.
cable() {
  ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
  on "$1" ip link set "$2" up
  on "$3" ip link set "$4" up
}

# address HOST DEV ADDR...: IPv4 and IPv6 addresses with their prefix lengths.
address() {
  local h=$1 d=$2 a
  shift 2
  for a; do
    case $a in
      *:*) on "$h" ip -6 addr add "$a" dev "$d" nodad ;;
      *) on "$h" ip addr add "$a" dev "$d" ;;
    esac
  done
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
  local tries=$(($1 * 20))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || die "gave up waiting for: $*"
    sleep 0.05
  done
}

# wire HOST1:DEV1,HOST2:DEV2,SHEATH...: cables (TAP devices) between hosts whose frames pass, each in its own sheath of tags or
# tunnels, over the veth pair trunk0-trunk1 in the namespace `wire`, where they can be captured (see wire.py).
wire() {
  ip netns add wire
  cable wire trunk0 wire trunk1
  on wire sysctl -qw net.ipv6.conf.all.disable_ipv6=1
  on wire ip link set trunk0 mtu 9000
  on wire ip link set trunk1 mtu 9000
  on wire python3 "$HERE/wire.py" trunk0 "$@" >"$WORK/wire.log" 2>&1 &
  wait_for 10 grep -q ready "$WORK/wire.log"
}

# capture HOST FILE ARGS...: starts tcpdump (nanoseconds) and returns when it listens; end_captures stops all.
CAPTURES=()
capture() {
  local h=$1 file=$2 log
  shift 2
  log=$WORK/capture.$RANDOM.log
  ip netns exec "$h" tcpdump -Z root -B 65536 -n --time-stamp-precision=nano --immediate-mode -w "$file" "$@" 2>"$log" &
  CAPTURES+=($!)
  wait_for 10 grep -q 'listening on' "$log"
}

# capture_ng HOST FILE ARGS...: the same with dumpcap: pcapng, several interfaces (-i A -i B).
capture_ng() {
  local h=$1 file=$2 log
  shift 2
  log=$WORK/capture.$RANDOM.log
  ip netns exec "$h" dumpcap -q -B 16 -w "$file" "$@" >"$log" 2>&1 &
  CAPTURES+=($!)
  wait_for 10 grep -q '^File:' "$log"
  sleep 0.3
}

end_captures() {
  sleep 0.4 # what is on the wire arrives
  kill -INT "${CAPTURES[@]}" 2>/dev/null || true # one with a packet limit has ended by itself
  wait "${CAPTURES[@]}" || true
  CAPTURES=()
}

# --- servers; each listens on all addresses of its host unless told otherwise ------------------------------------------

# files_to_serve: objects of many sizes in $WORK/www.
files_to_serve() {
  [ -d "$WORK/www" ] && return
  mkdir -p "$WORK/www/img" "$WORK/www/api"
  python3 - "$WORK/www" <<'PY'
import os, random, sys
root, rng = sys.argv[1], random.Random(7)
words = "packet mirror station rule limit header payload cookie session length byte frame flow".split()
text = lambda n: (" ".join(rng.choice(words) for _ in range(n // 6)) + "\n")[:n]
def put(name, data): open(os.path.join(root, name), "wb").write(data)
put("index.html", ("<html><head><title>mirror</title></head><body>" + text(1800) + "</body></html>").encode())
put("style.css", ("body{margin:0}" * 40).encode())
put("api/status.json", b'{"status":"ok","queue":[]}')
for i in range(1, 9): put(f"img/{i}.png", b"\x89PNG\r\n\x1a\n" + rng.randbytes(300 * i * i))
put("page.txt", text(12000).encode())
for kib in (32, 64, 256, 1024): put(f"{kib}k.bin", rng.randbytes(kib << 10))
PY
}

# keys: a self-signed certificate, ssh host and user keys, in $WORK.
keys() {
  [ -f "$WORK/cert.pem" ] && return
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=web.example \
    -keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
  ssh-keygen -q -t ed25519 -N '' -C client -f "$WORK/id"
  ssh-keygen -q -t ed25519 -N '' -C server -f "$WORK/hostkey"
}

# web HOST [ADDR]: nginx on 80, 8080 (plain) and 443, 8443 (TLS), both families unless an address is given.
web() {
  local h=$1 any=${2:-} name=web.$1 lines=''
  files_to_serve
  keys
  local p
  for p in 80 8080 '443 ssl' '8443 ssl'; do
    lines+="listen ${any:+$any:}$p; "
    [ -n "$any" ] || lines+="listen [::]:$p ipv6only=on; "
  done
  cat >"$WORK/$name.conf" <<CONF
user root; daemon off; worker_processes 1; pid $WORK/$name.pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; keepalive_requests 10000; server_tokens off; default_type text/plain;
  gzip on; gzip_types text/plain text/css; gzip_min_length 200;
  client_body_temp_path $WORK/$name.body; proxy_temp_path $WORK/$name.p; fastcgi_temp_path $WORK/$name.f;
  uwsgi_temp_path $WORK/$name.u; scgi_temp_path $WORK/$name.s;
  types { text/html html; text/css css; image/png png; application/json json; application/octet-stream bin; }
  server {
    $lines
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate $WORK/cert.pem; ssl_certificate_key $WORK/key.pem;
    root $WORK/www; if_modified_since before;
    location /login { add_header Set-Cookie "session=3f9a; HttpOnly"; return 303 /; }
    location /upload { client_max_body_size 4m; proxy_pass http://unix:$WORK/$name.sock:/sink; }
  }
  server { listen unix:$WORK/$name.sock; location / { return 201 "stored"; } }
}
CONF
  on "$h" nginx -c "$WORK/$name.conf" -e stderr 2>"$WORK/$name.log" &
  wait_for 10 on "$h" sh -c 'ss -ltn | grep -q :8443'
}

# dns HOST: dnsmasq for the zone example, with records of every size.
dns() {
  local long i
  long=$(printf 'v=long;%.0s' $(seq 34))
  local args=()
  for i in $(seq 12); do args+=("--txt-record=large.example,$i-$long"); done
  on "$1" dnsmasq --keep-in-foreground --user=root --conf-file=/dev/null --pid-file="$WORK/dns.pid" --no-resolv --no-hosts \
    --edns-packet-max=4096 --local=/example/ \
    --host-record=web.example,10.0.0.10,2001:db8::10 --host-record=shell.example,10.0.0.22,2001:db8::22 \
    --address=/wild.example/10.0.0.77 --mx-host=example,mail.example,10 --txt-record=example,"v=spf1 -all" \
    --cname=www.example,web.example --srv-host=_ldap._tcp.example,web.example,389 --ptr-record=10.0.0.10.in-addr.arpa,web.example \
    "${args[@]}" 2>"$WORK/dns.log" &
  wait_for 10 on "$1" sh -c 'ss -lun | grep -q :53'
}

# shell_server HOST PORT [ADDR]: sshd.
shell_server() {
  keys
  cat >"$WORK/sshd.$2" <<CONF
Port $2
ListenAddress ${3:-0.0.0.0}
$([ -n "${3:-}" ] || echo 'ListenAddress ::')
HostKey $WORK/hostkey
AuthorizedKeysFile $WORK/id.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
UseDNS no
CONF
  on "$1" /usr/sbin/sshd -D -f "$WORK/sshd.$2" 2>"$WORK/sshd.log" &
  wait_for 10 on "$1" sh -c "ss -ltn | grep -q :$2"
}

# shell HOST TARGET PORT COMMAND: an ssh session.
shell() {
  on "$1" ssh -q -F none -i "$WORK/id" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes \
    -p "$3" "root@$2" "$4"
}
