# Sourced by the scripts beside it: installs what a fresh machine lacks. Functions only.

# npm's packages, when they are not there or not those of the lockfile.
install_npm_packages() {
  local stamp=node_modules/.cache/dockline-lock
  if [ -x node_modules/.bin/node ] && cmp -s package-lock.json "$stamp"; then return; fi
  echo "installing the npm packages"
  npm ci --no-audit --no-fund --loglevel=error >/dev/null
  mkdir -p node_modules/.cache
  cp package-lock.json "$stamp"
}

# install_packages WHAT:PACKAGE...: each package whose program (or file, when WHAT is a path) is missing.
install_packages() {
  local pair what missing=()
  for pair in "$@"; do
    what=${pair%%:*}
    case $what in
      /*) [ -e "$what" ] || [ -e "/opt/cni/bin/${what##*/}" ] || missing+=("${pair##*:}") ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null || missing+=("${pair##*:}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "install these first, there is no apt-get here: ${missing[*]}" >&2
    return 1
  fi
  echo "installing ${missing[*]}"
  local log
  log=$(mktemp)
  # A package may want to start its service; where no init is running that is no failure of ours.
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
