package config

import (
	"slices"
	"strings"
)

// Names of the services that the box itself has, or may have; they begin with
// one of reservedPrefixes where there are many.
var (
	reservedServices = []string{
		"admin", "admin-vsock", "faults", "governor", "health", "init", "kernel", "ledgerd", "network", "noise", "ntp", "outbox", "placement",
		"remote", "routerd", "runtime", "settings",
		"trial", "twins", "watchdog", "workloads",
	}
	reservedPrefixes = []string{"console-", "dhcp-", "power-button-"}
)

// reserved says that no service of the settings can have this name.
func reserved(name string) bool {
	return slices.Contains(reservedServices, name) ||
		slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
