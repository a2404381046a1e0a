# Sourced: a Docker engine for the length of a script. One that runs already is used as it is; else, as
# root on Debian, one is installed from Debian's packages and run in a place of its own, and the base
# image is made from Debian's packages too, so that no registry is needed.
#
#   engine_start WORK BASE      exits with 77, and the reason, where none can run
#   engine_postgres IMAGE       the image of a database
#   engine_stop
ENGINE_PID=""
ENGINE_WORK=""

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*"; exit 1; }

engine_start() {
  ENGINE_WORK=$1
  if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
    return
  fi
  [ "$(id -u)" = 0 ] || skip "no container engine runs, and only root can start one"
  command -v apt-get >/dev/null || skip "no container engine runs, and this is not Debian"
  unshare --mount --cgroup true 2>/dev/null || skip "no right to make the namespaces that an engine needs"
  mkdir -p "$ENGINE_WORK"/data "$ENGINE_WORK"/exec
  engine_install
  engine_run
  engine_plugins
  engine_base "$2"
}

engine_install() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v iptables >/dev/null || missing+=(iptables)
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  command -v ip >/dev/null || missing+=(iproute2)
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing ${missing[*]}"
  apt-get update -qq >"$ENGINE_WORK/apt.log" 2>&1 || skip "apt-get update does not work"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >>"$ENGINE_WORK/apt.log" 2>&1 || skip "${missing[*]} cannot be installed"
}

# In a mount and cgroup namespace of its own. Where the kernel has cgroup v1, a tree of it is made
# there, so that containers stay below the cgroup of this script.
engine_run() {
  local inside='set -e
    mount --make-rprivate /
    if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
      umount -R -l /sys/fs/cgroup
      mount -t tmpfs cgroups /sys/fs/cgroup
      for name in cpu cpuacct cpuset memory devices freezer blkio pids; do
        mkdir /sys/fs/cgroup/$name && mount -t cgroup -o $name cgroup /sys/fs/cgroup/$name
      done
      mkdir /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    fi
    exec "$@"'
  local driver=overlay2
  grep -qw overlay /proc/filesystems || driver=vfs
  cat /proc/sys/net/ipv4/ip_forward >"$ENGINE_WORK/forwarded"
  iptables-save >"$ENGINE_WORK/rules"
  export DOCKER_HOST=unix://$ENGINE_WORK/docker.sock DOCKER_CONFIG=$ENGINE_WORK/config
  setsid unshare --mount --cgroup bash -c "$inside" engine \
    dockerd --host "$DOCKER_HOST" --data-root "$ENGINE_WORK/data" --exec-root "$ENGINE_WORK/exec" \
    --pidfile "$ENGINE_WORK/docker.pid" --storage-driver "$driver" \
    >"$ENGINE_WORK/dockerd.log" 2>&1 </dev/null &
  ENGINE_PID=$!
  for _ in $(seq 120); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$ENGINE_PID" 2>/dev/null || break
    sleep 0.5
  done
  tail -3 "$ENGINE_WORK/dockerd.log"
  skip "the engine does not start on this machine"
}

# Debian 12 has no compose; that of Debian 13 is one static program, unpacked and not installed.
engine_plugins() {
  docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1 && return
  local apt=$ENGINE_WORK/trixie
  mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$apt"/parts "$apt"/packages "$DOCKER_CONFIG/cli-plugins"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(engine_mirror) trixie main" >"$apt/sources"
  local options=(-o Dir::Etc::sourcelist="$apt/sources" -o Dir::Etc::sourceparts="$apt/parts"
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update -qq >>"$ENGINE_WORK/apt.log" 2>&1 || skip "no package lists of Debian 13"
  (cd "$apt/packages" && apt-get "${options[@]}" download docker-compose docker-buildx) >>"$ENGINE_WORK/apt.log" 2>&1 \
    || skip "the compose plugin cannot be fetched"
  for package in "$apt"/packages/*.deb; do dpkg-deb -x "$package" "$apt/unpacked"; done
  cp "$apt"/unpacked/usr/libexec/docker/cli-plugins/* "$DOCKER_CONFIG/cli-plugins/"
  rm -rf "$apt"
}

engine_base() {
  local index
  index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
  { echo "[global]"; [ -z "$index" ] || echo "index-url = $index"; } >"$ENGINE_WORK/pip.conf"
  engine_image "$1" python3,python3-dev,python3-venv,python3-pip,ca-certificates '[]' \
    --customize-hook='ln -sf /usr/bin/python3 "$1/usr/local/bin/python3"' \
    --customize-hook="upload $ENGINE_WORK/pip.conf /etc/pip.conf" \
    --customize-hook="upload ${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} /etc/ssl/certs/ca-certificates.crt"
}

# With the variables and the volume of the image that bears this name elsewhere.
engine_postgres() {
  if [ -z "$ENGINE_PID" ]; then # a machine's own engine has a registry
    docker image inspect "$1" >/dev/null 2>&1 || docker pull --quiet "$1" || skip "$1 cannot be had"
    return
  fi
  cat >"$ENGINE_WORK/start-postgres" <<'SH'
#!/bin/sh
set -e
install -d -o postgres /var/run/postgresql
cd /var/lib/postgresql
if [ ! -s data/PG_VERSION ]; then
  install -d -o postgres -m 0700 data
  printf %s "$POSTGRES_PASSWORD" >password
  chown postgres password
  runuser -u postgres -- initdb -D data --username="$POSTGRES_USER" --pwfile=password --auth=scram-sha-256 --encoding=UTF8 --no-sync
  echo "host all all all scram-sha-256" >>data/pg_hba.conf
  echo "create database $POSTGRES_USER" | runuser -u postgres -- postgres --single -D data postgres
fi
exec runuser -u postgres -- postgres -D data -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
SH
  engine_image "$1" postgresql-17 '["/usr/local/bin/start-postgres"]' \
    --customize-hook="upload $ENGINE_WORK/start-postgres /usr/local/bin/start-postgres" \
    --customize-hook='chmod 755 "$1/usr/local/bin/start-postgres"' \
    --customize-hook='chroot "$1" sh -c "ln -s /usr/lib/postgresql/17/bin/* /usr/local/bin/"'
}

engine_image() { # NAME PACKAGES COMMAND HOOKS...: from Debian's packages; kept from one run to the next
  docker image inspect "$1" >/dev/null 2>&1 && return
  local name=$1 packages=$2 command=$3 tar=$ENGINE_WORK/${1%%:*}.tar
  shift 3
  if [ ! -s "$tar" ]; then
    echo "making $name from Debian's packages"
    mmdebstrap --quiet --format=tar --variant=apt --include="$packages" \
      --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' "$@" \
      trixie "$tar.part" "$(engine_mirror)" >"$ENGINE_WORK/image.log" 2>&1 </dev/null \
      || { tail -3 "$ENGINE_WORK/image.log"; skip "$name cannot be made"; }
    mv "$tar.part" "$tar"
  fi
  docker import -c 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' -c "CMD $command" "$tar" "$name" >/dev/null
}

# The archive that this machine's own apt uses.
engine_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 2>/dev/null \
    | grep -v security | head -1
}

engine_stop() {
  [ -n "$ENGINE_PID" ] || return 0
  kill "$ENGINE_PID" 2>/dev/null
  for _ in $(seq 60); do kill -0 "$ENGINE_PID" 2>/dev/null || break; sleep 0.5; done
  kill -9 "$ENGINE_PID" 2>/dev/null
  wait "$ENGINE_PID" 2>/dev/null
  ip link del docker0 2>/dev/null
  sysctl -qw net.ipv4.ip_forward="$(cat "$ENGINE_WORK/forwarded")"
  if grep -q '^\*' "$ENGINE_WORK/rules"; then
    iptables-restore <"$ENGINE_WORK/rules"
  else # there were no rules at all
    for table in nat filter; do iptables -t $table -F; iptables -t $table -X; done 2>/dev/null
    iptables -P FORWARD ACCEPT
  fi
  rm -rf "$ENGINE_WORK/data" "$ENGINE_WORK/exec"
}
