// Package appliance makes a box of the parts: mounts, boot disk, clock,
// network, consoles, watchdog, the admin API, and the order in which all that
// starts and stops.
package appliance
