#!/bin/bash
# Builds the peer that the benchmarks run beside EntroOS: Debian with systemd
# and podman on one disk that boots by UEFI, with a script that measures the
# same things and prints them to the serial console.
# Usage: bench_peer.sh OUTPUT BUSYBOX. BUSYBOX is the fixture busybox.tar.
# OUTPUT becomes a link to the disk in a cache, whose key is this script's hash.
set -euo pipefail

output=${1:?usage: bench_peer.sh OUTPUT BUSYBOX}
busybox=${2:?usage: bench_peer.sh OUTPUT BUSYBOX}
suite=bookworm
key=$(sha256sum "$0" | cut -c1-32)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/entroos/bench
disk=$cache/$key.img

if [ ! -f "$disk" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/build.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/files"
	cat >"$work/files/measure" <<-'MEASURE'
		#!/bin/bash
		# Prints "bench NAME VALUE" lines, the last one "bench end 0". No getty may
		# run on the console: its start hangs up whoever else writes there.
		exec >/dev/ttyS0 2>&1
		echo "bench ready_s $(cut -d' ' -f1 /proc/uptime)"
		busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat; }
		sleep 90 # what the boot started shall have ended
		before=$(busy)
		sleep 30
		echo "bench idle_cpu_percent $(awk -v t=$(($(busy) - before)) 'BEGIN { print t / 30 }')"
		echo "bench idle_memory_mib $(awk '/MemTotal/ { t = $2 } /MemAvailable/ { print (t - $2) / 1024 }' /proc/meminfo)"
		podman load -q -i /root/busybox.tar
		podman run --rm busybox true
		for i in 1 2 3 4 5 6 7; do
			begin=$EPOCHREALTIME
			podman run --rm busybox true
			echo "bench run_s $(awk -v a=$begin -v b=$EPOCHREALTIME 'BEGIN { print b - a }')"
		done
		echo "bench end 0"
		poweroff
	MEASURE
	cat >"$work/files/measure.service" <<-'UNIT'
		[Unit]
		Description=Measurements
		After=multi-user.target podman.socket
		[Service]
		Type=simple
		ExecStart=/usr/local/bin/measure
		[Install]
		WantedBy=default.target
	UNIT
	cat >"$work/files/eth.network" <<-'NETWORK'
		[Match]
		Name=en* eth*
		[Network]
		DHCP=yes
	NETWORK
	echo "peer: Debian $suite with podman" >&2
	mmdebstrap --quiet --variant=minbase \
		--include=linux-image-amd64,initramfs-tools,udev,kmod,iproute2,ca-certificates,systemd-sysv,systemd-boot,dbus,podman,netavark,aardvark-dns,crun,systemd-timesyncd,systemd-resolved \
		--customize-hook="copy-in $work/files/measure /usr/local/bin/" \
		--customize-hook="copy-in $work/files/measure.service /etc/systemd/system/" \
		--customize-hook="copy-in $work/files/eth.network /etc/systemd/network/" \
		--customize-hook="copy-in $busybox /root/" \
		--customize-hook='chmod 755 "$1/usr/local/bin/measure"' \
		--customize-hook='echo debian >"$1/etc/hostname"' \
		--customize-hook='echo "UUID=d3b1a000-0000-4000-8000-000000000012 / ext4 errors=remount-ro 0 1" >"$1/etc/fstab"' \
		--customize-hook='printf "virtio_pci\nvirtio_blk\n" >>"$1/etc/initramfs-tools/modules"; chroot "$1" update-initramfs -u' \
		--customize-hook='chroot "$1" systemctl enable systemd-networkd systemd-resolved measure.service' \
		--customize-hook='chroot "$1" systemctl mask serial-getty@ttyS0.service' \
		"$suite" "$work/root.tar" >&2
	mkdir "$work/root"
	tar -C "$work/root" -xf "$work/root.tar" --exclude='./dev/*'
	mke2fs -q -t ext4 -L root -U d3b1a000-0000-4000-8000-000000000012 -d "$work/root" "$work/ext4" 3G
	mkdir "$work/esp"
	cp "$work"/root/boot/vmlinuz-* "$work/esp/vmlinuz"
	cp "$work"/root/boot/initrd.img-* "$work/esp/initrd"
	truncate -s 256M "$work/fat"
	mkfs.vfat -F 32 -n ESP "$work/fat" >/dev/null
	printf 'title Debian\nlinux /vmlinuz\ninitrd /initrd\noptions root=UUID=d3b1a000-0000-4000-8000-000000000012 ro quiet console=tty1 console=ttyS0,115200\n' >"$work/debian.conf"
	printf 'timeout 0\n' >"$work/loader.conf"
	mmd -i "$work/fat" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
	mcopy -i "$work/fat" /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
	mcopy -i "$work/fat" "$work/loader.conf" ::/loader/loader.conf
	mcopy -i "$work/fat" "$work/debian.conf" ::/loader/entries/debian.conf
	mcopy -i "$work/fat" "$work/esp/vmlinuz" "$work/esp/initrd" ::/
	truncate -s $((256 + 3072 + 2))M "$work/disk"
	sgdisk --clear --new=1:1M:+256M --typecode=1:ef00 --new=2:257M:+3072M --typecode=2:8300 "$work/disk" >/dev/null
	dd if="$work/fat" of="$work/disk" bs=1M seek=1 conv=notrunc,sparse status=none
	dd if="$work/ext4" of="$work/disk" bs=1M seek=257 conv=notrunc,sparse status=none
	mv "$work/disk" "$disk"
fi
mkdir -p "$(dirname "$output")"
ln -sfn "$disk" "$output"
