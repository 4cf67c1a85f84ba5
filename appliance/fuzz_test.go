package appliance

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gorunc "github.com/containerd/go-runc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/nko"
	"github.com/entroos/entroos/runtime"
)

// resolvingEngine resolves and imports as a box does, but makes no containers.
type resolvingEngine struct{ *runtime.Runtime }

var errNotMade = errors.New("no container is made here")

func (resolvingEngine) Create(context.Context, string, *runtime.Workload, runtime.IO) (nko.Container, error) {
	return nil, errNotMade
}
func (resolvingEngine) Recover(context.Context) error { return nil }

// unaryMethods are those of the admin API that a machine other than a box's own
// can be asked for: none restarts it, or writes to a disk.
var unaryMethods = []string{
	"ListServices", "SignalService", "ListImages", "RemoveImage", "PruneImages", "ListContainers", "StopContainer",
	"StartContainer", "KillContainer", "RemoveContainer", "CheckConfig",
}

// streamMethods are those that answer with a stream, or are asked by one.
var streamMethods = []string{"Logs", "Run", "Exec", "ImportImage"}

// panics notes what was logged as a panic.
type panics struct {
	slog.Handler
	mu   sync.Mutex
	seen []string
}

func (*panics) Enabled(context.Context, slog.Level) bool { return true }

func (p *panics) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") {
		p.mu.Lock()
		defer p.mu.Unlock()
		text := r.Message
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		p.seen = append(p.seen, text)
	}
	return nil
}
func (p *panics) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p *panics) WithGroup(string) slog.Handler      { return p }

func newFuzzBox(f *testing.F) (*Box, *panics) {
	f.Helper()
	if os.Getuid() != 0 {
		f.Skip("unpacking layers takes root")
	}
	log := new(panics)
	logger := slog.New(log)
	before := slog.Default()
	slog.SetDefault(logger) // nko.Go's
	f.Cleanup(func() { slog.SetDefault(before) })
	dir := f.TempDir()
	b := NewBox(logger, nko.NewLogRing())
	b.Reaper = nko.NewReaper(logger)
	b.Supervisor = nko.NewSupervisor(b.Reaper, nko.CgroupTree{}, logger)
	var err error
	if b.Store, err = nko.OpenStore(filepath.Join(dir, "db")); err != nil {
		f.Fatal(err)
	}
	b.Store.DB().NoSync = true
	b.state = dir
	if err := b.OpenLogs(); err != nil {
		f.Fatal(err)
	}
	b.Outbox = nko.NewOutbox(b.Store, nil, logger)
	monitor := gorunc.Monitor
	if b.Runtime, err = runtime.New(runtime.Config{
		Images: dir + "/images", Logs: b.Logs, Volumes: dir + "/volumes", Containers: dir + "/containers", Run: dir + "/run",
		Runc: "/nowhere/runc", Cgroup: "/nowhere", DB: b.Store.DB(), Processes: b.Reaper, Resolv: "/etc/resolv.conf", Logger: logger, Go: nko.Go,
	}); err != nil {
		f.Fatal(err)
	}
	gorunc.Monitor = monitor
	if b.Workloads, err = nko.NewWorkloads(b.Store, resolvingEngine{b.Runtime}, b.Outbox.Wake, logger); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(b.Workloads.Close(ctx), b.closeLogs(ctx), b.Store.Close()); err != nil {
			f.Error(err)
		}
	})
	return b, log
}

// smallImage is a docker-archive of an image named test.
func smallImage(f *testing.F) []byte {
	f.Helper()
	pack := func(files ...string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := 0; i < len(files); i += 2 {
			err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
			if _, werr := w.Write([]byte(files[i+1])); err != nil || werr != nil {
				f.Fatal(err, werr)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	layer := pack("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "config": map[string]any{"Cmd": []string{"/bin/true"}},
		"rootfs": map[string]any{"diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		f.Fatal(err)
	}
	return pack("manifest.json", `[{"Config":"config.json","RepoTags":["test:latest"],"Layers":["layer.tar"]}]`,
		"config.json", string(config), "layer.tar", string(layer))
}

// FuzzAdmin has clients send anything to the methods of the admin API, in JSON
// or in protobuf. Nothing panics, and what is wrong with a request is never
// said to be the box's own fault.
func FuzzAdmin(f *testing.F) {
	b, log := newFuzzBox(f)
	handler := AdminHandler(b)
	image := smallImage(f)
	messages := map[string][]proto.Message{
		"SignalService": {&entroosv1.SignalServiceRequest{Service: "ntp", Signal: -1}}, "ListServices": {&entroosv1.ListServicesRequest{}},
		"ListImages": {&entroosv1.ListImagesRequest{}}, "RemoveImage": {&entroosv1.RemoveImageRequest{Image: "sha256:0000"}},
		"PruneImages": {&entroosv1.PruneImagesRequest{}}, "ListContainers": {&entroosv1.ListContainersRequest{All: true}},
		"StopContainer":   {&entroosv1.StopContainerRequest{Container: "x", TimeoutSeconds: 1 << 31}},
		"StartContainer":  {&entroosv1.StartContainerRequest{Container: "test"}},
		"KillContainer":   {&entroosv1.KillContainerRequest{Container: "a", Signal: 65}, &entroosv1.KillContainerRequest{Signal: -1 << 31}},
		"RemoveContainer": {&entroosv1.RemoveContainerRequest{Container: "test", Force: true}},
		"CheckConfig":     {&entroosv1.CheckConfigRequest{Yaml: "hostname: [\n"}},
		"Logs":            {&entroosv1.LogsRequest{Container: "test", Tail: -1 << 63}, &entroosv1.LogsRequest{Service: "init", Tail: 1 << 62, Follow: true}, &entroosv1.LogsRequest{Service: "init", Since: &entroosv1.LogTime{Time: &entroosv1.LogTime_AgoNanos{AgoNanos: -1 << 63}}, Grep: &entroosv1.LogGrep{Expression: "(a|b)*", Invert: true}}},
		"Run": {start("a"), input(&entroosv1.ProcessInput{}), &entroosv1.RunRequest{Request: &entroosv1.RunRequest_Start{Start: &entroosv1.RunStart{
			Spec: &entroosv1.WorkloadSpec{Image: "test", Name: "x", Tty: true, Remove: true}, Detach: true, Window: &entroosv1.WindowSize{Rows: 1 << 31},
		}}}},
		"Exec":        {&entroosv1.ExecRequest{Request: &entroosv1.ExecRequest_Start{Start: &entroosv1.ExecStart{Container: "test", Args: []string{""}}}}},
		"ImportImage": {&entroosv1.ImportImageRequest{Reference: "x", Chunk: image}, &entroosv1.ImportImageRequest{Chunk: image[:700]}},
	}
	methods := append(append([]string{}, unaryMethods...), streamMethods...)
	for i, name := range methods {
		for _, m := range messages[name] {
			raw, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			text, err := protojson.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), false, raw)
			f.Add(uint8(i), true, text)
		}
		f.Add(uint8(i), true, []byte("{"))
		f.Add(uint8(i), false, []byte{0xff})
	}
	f.Fuzz(func(t *testing.T, method uint8, asJSON bool, body []byte) {
		if _, err := b.Runtime.Import(t.Context(), bytes.NewReader(image), ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // for logs that are followed
		defer cancel()
		name := methods[int(method)%len(methods)]
		answer := call(ctx, handler, name, asJSON, body)
		if bytes.Contains(answer, []byte(`"code":"internal"`)) || bytes.Contains(answer, []byte(`"code":"unknown"`)) {
			t.Errorf("%s: %s", name, answer)
		}
		for _, c := range b.Workloads.List(true) {
			if err := b.Workloads.Remove(t.Context(), c.GetId(), true); err != nil && !errors.Is(err, nko.ErrNoContainer) {
				t.Error(err)
			}
		}
		log.mu.Lock()
		defer log.mu.Unlock()
		for _, text := range log.seen {
			t.Error(text)
		}
		log.seen = nil
	})
}

// call sends one message, and gives the answer with its trailer.
func call(ctx context.Context, handler http.Handler, method string, asJSON bool, body []byte) []byte {
	codec := "proto"
	if asJSON {
		codec = "json"
	}
	contentType := "application/" + codec
	for _, name := range streamMethods {
		if name == method { // a message is behind its length
			contentType = "application/connect+" + codec
			body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
		}
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/entroos.v1.AdminService/"+method, bytes.NewReader(body))
	r.ProtoMajor, r.Proto = 2, "HTTP/2.0"
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Connect-Protocol-Version", "1")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Body.Bytes()
}
