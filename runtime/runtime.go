// Package runtime runs containers: OCI images from archives, unpacked once a
// layer and stacked by overlayfs; containers on runc, each with user ids, a
// network and a cgroup of its own. It is driven by one process, whose children
// the containers are: there are no shims.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/containerd/go-runc"
	"go.etcd.io/bbolt"

	"github.com/entroos/entroos/morphzip/store"
	"github.com/entroos/entroos/runtime/network"
	"github.com/entroos/entroos/runtime/oci"
	"github.com/entroos/entroos/runtime/record"
)

// Config says where a Runtime keeps what. All paths are absolute.
type Config struct {
	Images     string // layers; on a file system with mapped mounts, as ext4 is
	Volumes    string // named volumes, and all that absolute paths may name
	Containers string // what containers write, a folder each; on Images' or another such file system
	Run        string // what ends with the boot; on a tmpfs
	Runc       string // runc's program
	Cgroup     string // below which each container has its own, e.g. /workloads
	DB         *bbolt.DB
	Logs       *store.Store // containers' output, in streams container/ID
	Processes  Processes
	Resolv     string // the box's resolv.conf
	Logger     *slog.Logger

	// MemoryHigh gives, for a memory limit in bytes, from where on the
	// container is slowed down to reclaim; nil, or 0, is never.
	MemoryHigh func(limit uint64) uint64
	// CPUWeight is cgroup v2's cpu.weight of a new container; 0 is the kernel's
	// default.
	CPUWeight uint64
	// Go starts a goroutine that outlives its caller, and keeps its panic from
	// ending the process; nil starts it and logs a panic.
	Go func(name string, f func())
}

// Runtime is the containers and images of one box. Its methods may be called
// concurrently.
type Runtime struct {
	config    Config
	db        *bbolt.DB
	logs      *store.Store
	images    *oci.Store
	network   *network.Network
	processes Processes
	resolver  *resolver
	logger    *slog.Logger

	mu         sync.Mutex
	containers map[string]*Container // from Create to Close; nil while in Create
	namespaces map[int]*os.File      // user namespaces by slot

	habits  habits
	written lastWritten

	volumes     sync.Mutex     // held while volumes are made
	volumeUsers map[string]int // how many containers have mounted which folder
}

// New makes a Runtime. Recover must have returned before the first Create.
func New(c Config) (*Runtime, error) {
	if c.DB == nil || c.Logs == nil || c.Processes == nil {
		return nil, errors.New("runtime: a database, a store for logs and processes are needed")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for name, p := range map[string]string{
		"Images": c.Images, "Volumes": c.Volumes, "Containers": c.Containers, "Run": c.Run,
		"Runc": c.Runc, "Cgroup": c.Cgroup, "Resolv": c.Resolv,
	} {
		if !filepath.IsAbs(p) {
			return nil, fmt.Errorf("runtime: %s is %q, and must be an absolute path", name, p)
		}
	}
	images, err := oci.Open(c.Images, c.DB)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	r := &Runtime{
		config: c, db: c.DB, logs: c.Logs, images: images, network: network.New(), processes: c.Processes,
		resolver: &resolver{source: c.Resolv, dir: c.Run}, logger: c.Logger,
		containers: make(map[string]*Container), namespaces: make(map[int]*os.File),
		volumeUsers: make(map[string]int),
	}
	for dir, mode := range map[string]os.FileMode{
		c.Volumes: 0o711, c.Containers: 0o711,
		// A container's first process finds its root file system below these
		// as a user that owns none of them.
		c.Run: 0o711, r.bundles(): 0o711, r.state(): 0o711,
	} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, fmt.Errorf("runtime: %w", err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			return nil, fmt.Errorf("runtime: %w", err)
		}
	}
	if err := record.Update(c.DB, containerBucket.Create); err != nil {
		return nil, err
	}
	runc.Monitor = c.Processes // it is go-runc's only one
	return r, nil
}

// Serve keeps the containers' resolv.conf as the box's is, until ctx ends.
func (r *Runtime) Serve(ctx context.Context) error { return r.resolver.serve(ctx) }

func (r *Runtime) bundles() string              { return filepath.Join(r.config.Run, "bundles") }
func (r *Runtime) state() string                { return filepath.Join(r.config.Run, "state") }
func (r *Runtime) bundleDir(id string) string   { return filepath.Join(r.bundles(), id) }
func (r *Runtime) writableDir(id string) string { return filepath.Join(r.config.Containers, id) }
func (r *Runtime) cgroup(id string) string      { return filepath.Join(r.config.Cgroup, id) }

// runc gives the command for a container's bundle.
func (r *Runtime) runc(b *bundle) *runc.Runc {
	return &runc.Runc{Command: r.config.Runc, Root: r.state(), Log: b.runcLog(), LogFormat: runc.JSON}
}

// spawn starts a goroutine.
func (r *Runtime) spawn(name string, f func()) {
	if r.config.Go != nil {
		r.config.Go(name, f)
		return
	}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				r.logger.Error("panic", "in", name, "panic", p, "stack", string(debug.Stack()))
			}
		}()
		f()
	}()
}
