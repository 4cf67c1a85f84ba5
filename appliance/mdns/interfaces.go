package mdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Wired lists the Ethernet interfaces that are up and devices: neither bridges
// of containers nor virtual or wireless ones.
func Wired() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("mdns: interfaces: %w", err)
	}
	var wired []Interface
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || !isWired("/sys/class/net", i.Name) {
			continue
		}
		prefixes, err := prefixesOf(i)
		if err != nil {
			continue // unplugged just now
		}
		wired = append(wired, Interface{Index: i.Index, Name: i.Name, Prefixes: prefixes})
	}
	return wired, nil
}

func isWired(class, name string) bool {
	path := filepath.Join(class, name)
	kind, err := os.ReadFile(filepath.Join(path, "type"))
	if err != nil || strings.TrimSpace(string(kind)) != fmt.Sprint(unix.ARPHRD_ETHER) {
		return false
	}
	_, device := os.Stat(filepath.Join(path, "device"))
	_, wireless := os.Stat(filepath.Join(path, "phy80211"))
	return device == nil && errors.Is(wireless, os.ErrNotExist)
}

func prefixesOf(i net.Interface) ([]netip.Prefix, error) {
	addresses, err := i.Addrs()
	if err != nil {
		return nil, err
	}
	var prefixes []netip.Prefix
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		address, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			continue
		}
		ones, _ := n.Mask.Size()
		prefixes = append(prefixes, netip.PrefixFrom(address.Unmap(), ones))
	}
	return prefixes, nil
}

// WatchInterfaces sends to the channel whenever links or addresses change,
// until ctx ends. What is not taken is dropped: a value stands for all changes.
func WatchInterfaces(ctx context.Context, changes chan<- struct{}) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("mdns: netlink: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	defer f.Close()
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("mdns: netlink: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = f.Close() })() // Read's error tells
	buf := make([]byte, 32<<10)
	for {
		_, err := f.Read(buf)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS): // there were more than fit
		case err != nil:
			return fmt.Errorf("mdns: netlink: %w", err)
		}
		select {
		case changes <- struct{}{}:
		default:
		}
	}
}
