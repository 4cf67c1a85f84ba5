#!/bin/bash
# Builds the OCI images that the VM tests run, from Debian packages, with
# buildah. Usage: fixtures.sh OUTPUT. Prints the folder of the cache that holds
# them, and makes OUTPUT a link to it. The cache's key is this script's hash.
set -euo pipefail

output=${1:?usage: fixtures.sh OUTPUT}
suite=bookworm
key=$(sha256sum "$0" | cut -c1-32)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/entroos/fixtures
folder=$cache/$key

link() {
	mkdir -p "$(dirname "$output")"
	ln -sfn "$folder" "$output"
	echo "$folder"
}
if [ -d "$folder" ]; then
	link
	exit
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Private storage: the machine's own images stay as they are. vfs and chroot
# need neither overlayfs nor cgroups.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
storage=(--root "$work/storage" --runroot "$work/run")

# root NAME PACKAGE...: the packages' files, with those they depend on, in
# $work/NAME. Extracted, not configured: no maintainer script runs.
root() {
	local name=$1
	shift
	local packages
	packages=$(IFS=,; echo "$*")
	mmdebstrap --quiet --variant=extract --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" "$work/$name.tar" >&2
	mkdir "$work/$name"
	tar -C "$work/$name" -xf "$work/$name.tar" --exclude='./dev/*'
	rm -rf "$work/$name"/var/lib/{apt,dpkg} "$work/$name"/var/cache
	mkdir -p "$work/$name"/{etc,tmp,run,root,var/tmp}
	chmod 1777 "$work/$name/tmp" "$work/$name/var/tmp"
	cat >"$work/$name/etc/passwd" <<-'PASSWD'
		root:x:0:0:root:/root:/bin/sh
		www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
		nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
	PASSWD
	cat >"$work/$name/etc/group" <<-'GROUP'
		root:x:0:
		www-data:x:33:
		nogroup:x:65534:
	GROUP
}

# image NAME CONFIG...: an image of $work/NAME as an OCI archive, with
# buildah's words for its configuration.
image() {
	local name=$1
	shift
	local container
	container=$(buildah "${storage[@]}" from scratch)
	buildah "${storage[@]}" copy --quiet "$container" "$work/$name" / >&2
	buildah "${storage[@]}" config "$@" "$container" >&2
	buildah "${storage[@]}" commit --quiet --rm "$container" \
		"oci-archive:$work/out/$name.tar:$name:latest" >&2
}

mkdir "$work/out"

echo "fixtures: busybox" >&2
root busybox busybox-static
for applet in $("$work/busybox/bin/busybox" --list); do
	[ "$applet" = busybox ] || ln -sf busybox "$work/busybox/bin/$applet"
done
image busybox --cmd '["/bin/sh"]' --env PATH=/usr/sbin:/usr/bin:/sbin:/bin

echo "fixtures: nginx" >&2
root nginx nginx-light
mkdir -p "$work/nginx"/var/{log,lib}/nginx
ln -sf /dev/stdout "$work/nginx/var/log/nginx/access.log"
ln -sf /dev/stderr "$work/nginx/var/log/nginx/error.log"
rm -rf "$work/nginx"/usr/share/{perl,perl5,zoneinfo} "$work/nginx"/usr/lib/x86_64-linux-gnu/{perl,perl-base,gconv}
cat >"$work/nginx/etc/nginx/nginx.conf" <<'CONF'
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr notice;
events {
	worker_connections 256;
}
http {
	access_log /dev/stdout;
	include /etc/nginx/mime.types;
	server {
		listen 80;
		root /var/www/html;
	}
}
CONF
mkdir -p "$work/nginx/var/www/html"
echo 'served by nginx on EntroOS' >"$work/nginx/var/www/html/index.html"
image nginx --cmd '["nginx","-g","daemon off;"]' --port 80/tcp --stop-signal SIGQUIT \
	--env PATH=/usr/sbin:/usr/bin:/sbin:/bin

chmod 755 "$work/out"
mv -T "$work/out" "$folder" 2>/dev/null || [ -d "$folder" ]
link
