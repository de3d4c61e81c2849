# shellcheck shell=bash
# Captures whose subject is what connections carry: applications on their ports and on others', streams whole, damaged and
# taken up midway; sourced by `captures`, after lib.sh.

need_for_sessions() {
  need git mosquitto mosquitto_pub mosquitto_sub redis-server redis-cli psql ntpdig setpriv
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || die "needs a PostgreSQL server, which is not installed"
}

# --- servers -----------------------------------------------------------------------------------------------------------

# more_web HOST: HTTP on 2222, HTTP/2 without TLS on 8082, TLS with HTTP/2 on 8444, uploads on 8083; a git repository among the files.
more_web() {
  files_to_serve
  keys
  repository
  cat >"$WORK/more.conf" <<CONF
user root; daemon off; worker_processes 1; pid $WORK/more.pid; error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off; default_type text/plain; client_body_temp_path $WORK/more.body; proxy_temp_path $WORK/more.p;
  fastcgi_temp_path $WORK/more.f; uwsgi_temp_path $WORK/more.u; scgi_temp_path $WORK/more.s; root $WORK/www;
  ssl_certificate $WORK/cert.pem; ssl_certificate_key $WORK/key.pem; client_max_body_size 64m;
  server { listen 2222; listen [::]:2222; }
  server { listen 8082 http2; listen [::]:8082 http2; }
  server { listen 8444 ssl http2; listen [::]:8444 ssl http2; ssl_protocols TLSv1.2 TLSv1.3; }
  server { listen 8083; listen [::]:8083; location / { proxy_pass http://unix:$WORK/more.sock:; } }
  server { listen unix:$WORK/more.sock; location / { return 201 "stored"; } }
}
CONF
  on "$1" nginx -c "$WORK/more.conf" -e stderr 2>"$WORK/more.log" &
  wait_for 10 on "$1" sh -c 'ss -ltn | grep -q :8444'
}

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=ann GIT_AUTHOR_EMAIL=ann@example GIT_COMMITTER_NAME=ann GIT_COMMITTER_EMAIL=ann@example

# repository: $WORK/www/repo.git, with a few commits, to be cloned over git, ssh and plain HTTP.
repository() {
  [ -d "$WORK/www/repo.git" ] && return
  local i d=$WORK/repo
  git init -q -b main "$d"
  for i in 1 2 3; do
    head -c 1500 "$WORK/www/page.txt" | rev >"$d/file$i"
    git -C "$d" add . && git -C "$d" commit -q -m "commit $i"
  done
  git clone -q --bare "$d" "$WORK/www/repo.git"
  git -C "$WORK/www/repo.git" update-server-info
}

git_server() { # git HOST: on 9418
  repository
  on "$1" git daemon --export-all --base-path="$WORK/www" --reuseaddr 2>"$WORK/git.log" &
  wait_for 10 on "$1" sh -c 'ss -ltn | grep -q :9418'
}

# databases HOST: redis on 6379, PostgreSQL on 5432, MQTT on 1883.
databases() {
  on "$1" redis-server --port 6379 --bind '*' -::\* --protected-mode no --save '' --dir "$WORK" >"$WORK/redis.log" 2>&1 &
  printf 'listener 1883\nallow_anonymous true\nuser root\n' >"$WORK/mosquitto.conf"
  on "$1" mosquitto -c "$WORK/mosquitto.conf" >"$WORK/mosquitto.log" 2>&1 &
  local pg bin
  bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | tail -1)
  pg=(setpriv --reuid=65534 --regid=65534 --clear-groups env -C "$WORK/pg" HOME="$WORK/pg")
  mkdir "$WORK/pg" && chown 65534:65534 "$WORK/pg" && chmod 711 "$WORK"
  "${pg[@]}" "$bin/initdb" -D "$WORK/pg/data" -A trust -U ann --no-sync -E UTF8 --locale=C >"$WORK/pg.log" 2>&1
  printf 'host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n' >>"$WORK/pg/data/pg_hba.conf"
  on "$1" "${pg[@]}" "$bin/postgres" -D "$WORK/pg/data" -c listen_addresses='*' -c unix_socket_directories= \
    -c fsync=off >>"$WORK/pg.log" 2>&1 &
  wait_for 20 on "$1" sh -c 'ss -ltn | grep -q :5432 && ss -ltn | grep -q :1883 && ss -ltn | grep -q :6379'
}

apps_server() {
  on "$1" python3 "$HERE/apps.py" serve 2>"$WORK/apps.log" &
  wait_for 10 on "$1" sh -c 'ss -lun | grep -q :123 && ss -ltn | grep -q :445'
}

# --- clients -----------------------------------------------------------------------------------------------------------

clone() { # clone HOST URL
  local to=$WORK/clone.$RANDOM$RANDOM
  on "$1" env GIT_SSH_COMMAND="ssh -q -F none -i $WORK/id -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null" \
    git clone -q "$2" "$to"
  rm -rf "$to"
}

sql() { # sql HOST ADDRESS STATEMENT...
  local h=$1 a=$2 s
  shift 2
  for s; do on "$h" psql -X -q -A -h "$a" -U ann -d postgres -c "$s" >/dev/null; done
}

# everything HOST ADDR: one session or two with each of the servers above; BRACKETED is the address as URLs have it.
everything() {
  local h=$1 a=$2 b=$2 s
  case $a in *:*) b="[$a]" ;; esac
  for s in smtp ftp imap pop3; do on "$h" python3 "$HERE/apps.py" $s "$a"; done
  on "$h" curl -sS -o /dev/null --max-time 20 "rtsp://$b/stream" "dict://$b/d:mirror" || true # no such word
  for s in ldap smb; do on "$h" curl -s -o /dev/null --max-time 2 -u ann:secret "$s://$b/share/file" || true; done # hangs up
  clone "$h" "git://$b/repo.git"
  clone "$h" "http://$b:2222/repo.git"
  clone "$h" "ssh://root@$b:${SSH:-22}$WORK/www/repo.git"
  on "$h" redis-cli -h "$a" set session 3f9a >/dev/null
  printf '*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$3\r\nGET\r\n$7\r\nsession\r\n' |
    on "$h" redis-cli -h "$a" --pipe >/dev/null
  PGSSLMODE=disable sql "$h" "$a" 'select version()'
  PGSSLMODE=prefer sql "$h" "$a" 'select relname from pg_class limit 20' 'select 1/0' 2>/dev/null || true # an error is answered
  on "$h" timeout 5 mosquitto_sub -h "$a" -t news -C 1 >/dev/null &
  s=$!
  sleep 0.3
  on "$h" mosquitto_pub -h "$a" -t news -m 'session=mqtt' -q 1
  wait $s || true
  on "$h" ntpdig -t 2 "$a" >/dev/null || true
  get "$h" "http://$b:2222/page.txt" -o /dev/null "http://$b:2222/missing.html"
  get "$h" --http2-prior-knowledge "http://$b:8082/style.css"
  get "$h" --resolve "www.example:8444:$a" https://www.example:8444/style.css
  get "$h" --http1.1 --tls-max 1.2 --resolve "old.example:8444:$a" https://old.example:8444/page.txt
  on "$h" dig +tries=1 "@$a" web.example A "@$a" gone.example A "@$a" wild.example TXT >/dev/null
  on "$h" dig +tries=1 +tcp "@$a" example MX "@$a" gone.example AAAA "@$a" large.example TXT >/dev/null
  shell "$h" "$a" "${SSH:-22}" date
}

# surf HOST BASE NUMBER: HTTP of all kinds, kept alive, pieced, conditional; NUMBER tells the requests apart.
surf() {
  get "$1" -H 'Host: shop.example' -A "surf/$3" "$2/?n=$3" -o /dev/null "$2/style.css" -o /dev/null "$2/img/[1-3].png"
  get "$1" -I "$2/page.txt" -o /dev/null "$2/missing.html?$3"
  get "$1" -z 2038-01-01 "$2/index.html" -o /dev/null "$2/style.css"
  get "$1" --compressed -b "session=evil$3" "$2/page.txt" # chunks
  get "$1" -H 'Transfer-Encoding: chunked' -F "file=@$WORK/www/img/$((3 + $3 % 4)).png" "${2%:*}:8083/upload"
}

# --- captures ----------------------------------------------------------------------------------------------------------

all_servers() {
  web "$@"
  more_web "$1"
  dns "$1"
  shell_server "$1" 22
  git_server "$1"
  databases "$1"
  apps_server "$1"
  echo_server "$1"
}

apps() {
  need_for_sessions
  pair
  all_servers s 10.0.0.10
  shell_server s 80 10.0.0.22
  capture s "$TO/apps.pcap" -i s0
  everything c 10.0.0.10
  everything c 2001:db8::10
  shell c 10.0.0.22 80 'date; uname -a' # beside HTTP on the other address
  get c http://10.0.0.10/ -o /dev/null http://10.0.0.10/page.txt
  end_captures
}

lives() { # of streams: pipelined, stalled, aborted, idle, its addresses and ports used again
  pair
  web s
  more_web s
  echo_server s
  capture s "$TO/lives.pcap" -i s0
  local s
  for s in pipeline reuse chat mss reset fastopen stall; do talk c $s 10.0.0.10; done
  for s in pipeline reuse; do talk c $s 2001:db8::10; done
  surf c http://10.0.0.10:80 1
  end_captures
}

midstream() {
  pair
  local a
  for a in c s; do on $a sysctl -qw net.ipv4.tcp_rmem='4096 8192 16384' net.ipv4.tcp_wmem='4096 8192 16384'; done # nothing hurries ahead
  web s
  more_web s
  shell_server s 2022
  repository
  for a in 10.0.0.10 '[2001:db8::10]'; do # these go on when the capture begins
    get c --limit-rate 8k "http://$a/256k.bin" &
    get c --limit-rate 12k -T "$WORK/www/32k.bin" "http://$a:8083/upload" &
    get c --limit-rate 12k "https://$a/64k.bin" -o /dev/null "https://$a/page.txt" &
    shell c "${a//[\[\]]/}" 2022 'for i in 1 2 3 4 5 6; do date; sleep 0.4; done' &
  done
  sleep 1
  capture s "$TO/midstream.pcap" -i s0
  get c http://10.0.0.10/page.txt
  shell c 10.0.0.10 2022 'sleep 2'
  sleep 1
  end_captures
}

# damaged NAME SHEATH...: a server and a client with these cables between them, captured on the way.
damaged() {
  local name=$1 h
  shift
  wired_pair "$@"
  all_servers s
  for h in c s; do on $h sysctl -qw net.ipv4.tcp_syn_linear_timeouts=6 2>/dev/null || true; done
  capture wire "$TO/$name.pcap" -i trunk1
}

lossy() {
  need_for_sessions
  damaged lossy lossy:1 lossy:2+vlan:10
  local n a
  for n in 1 2; do
    for a in "10.$n.0.10" "[2001:db8:$n::10]"; do
      surf c "http://$a:80" 1 || true
      get c "https://$a/page.txt" || true
      shell c "${a//[\[\]]/}" 22 'uname -a; date' || true
      on c dig +tcp "@${a//[\[\]]/}" large.example TXT >/dev/null || true
    done
  done
  end_captures
}

sessions() { # the big one
  need_for_sessions
  damaged sessions plain lossy:3 lossy:4+vlan:20 lossy:5+vlan:30+ad:100
  head -c 6000000 /dev/urandom >"$WORK/upload"
  local n a i jobs
  for n in 1 2 3 4; do
    jobs=()
    for a in "10.$n.0.10" "[2001:db8:$n::10]"; do
      everything c "${a//[\[\]]/}" || say "something broke off on cable $n" &
      jobs+=($!)
      for i in 1 2 3 4 5 6 7 8; do
        surf c "http://$a:80" "$i" || say "a request broke off on cable $n" &
        jobs+=($!)
      done
    done
    wait "${jobs[@]}"
    for i in pipeline reuse; do talk c $i "10.$n.0.10" || say "$i broke off on cable $n"; done
  done
  get c -T "$WORK/upload" http://10.1.0.10:8083/upload
  get c -T "$WORK/upload" "http://[2001:db8:2::10]:8083/upload" || say "an upload broke off"
  get c https://10.3.0.10/1024k.bin || say "a download broke off"
  end_captures
}
