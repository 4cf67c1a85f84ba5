package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv("ENTROOS_FAKE_BOX"); socket != "" {
		serveForever(socket)
	}
	if os.Getenv("ENTROOS_TEST_MAIN") != "" { // the real thing, as a process of its own
		main()
	}
	goleak.VerifyTestMain(m)
}

// trial is one command line's environment and what came of it.
type trial struct {
	*environment
	stdout, stderr buffer
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newTrial(admin string) *trial {
	t := &trial{}
	t.environment = &environment{
		stdin: strings.NewReader(""), stdout: &t.stdout, stderr: &t.stderr,
		columns: func() int { return 0 }, interrupts: &interrupts{}, admin: admin, links: &links{},
	}
	return t
}

// do runs a command line against a fresh box.
func do(t *testing.T, args ...string) (b *fakeBox, stdout, stderr string, status int) {
	t.Helper()
	b, admin := serveFakeBox(t)
	trial := newTrial(admin)
	status = trial.execute(context.Background(), args)
	return b, trial.stdout.String(), trial.stderr.String(), status
}

func TestFlagsBecomeRequests(t *testing.T) {
	t.Setenv("FROM_HERE", "yes")
	run := func(detach bool, change func(*entroosv1.WorkloadSpec)) *entroosv1.RunRequest {
		spec := &entroosv1.WorkloadSpec{
			Image: "busybox", Network: "bridge", Limits: &entroosv1.Limits{},
			Restart: &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_NO},
		}
		change(spec)
		return &entroosv1.RunRequest{Request: &entroosv1.RunRequest_Start{Start: &entroosv1.RunStart{Spec: spec, Detach: detach}}}
	}
	for line, want := range map[string]proto.Message{
		"run busybox": run(false, func(*entroosv1.WorkloadSpec) {}),
		"run busybox echo -d --name x": run(false, func(s *entroosv1.WorkloadSpec) {
			s.Args = []string{"echo", "-d", "--name", "x"} // the container's, not ours
		}),
		"run -d --name web -p 8080:80 -p 127.0.0.1:53:53/udp -v data:/data -v /perm/volumes/x:/x:ro -e A=b=c -e FROM_HERE -e NOT_SET busybox": run(true, func(s *entroosv1.WorkloadSpec) {
			s.Name = "web"
			s.Ports = []*entroosv1.PortMapping{
				{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"},
				{HostIp: "127.0.0.1", HostPort: 53, ContainerPort: 53, Protocol: "udp"},
			}
			s.Mounts = []*entroosv1.VolumeMount{{Source: "data", Target: "/data"}, {Source: "/perm/volumes/x", Target: "/x", ReadOnly: true}}
			s.Env = []string{"A=b=c", "FROM_HERE=yes"}
		}),
		"run --rm -i -w /tmp -u 1000:1000 --hostname h --network none --read-only --cap-add NET_ADMIN --cap-drop ALL busybox": run(false, func(s *entroosv1.WorkloadSpec) {
			s.Remove, s.Stdin, s.ReadOnly, s.Cwd, s.User, s.Hostname, s.Network = true, true, true, "/tmp", "1000:1000", "h", "none"
			s.CapAdd, s.CapDrop = []string{"NET_ADMIN"}, []string{"ALL"}
		}),
		"run --restart on-failure:3 -m 64m --cpus 0.5 --pids-limit 20 --stop-signal QUIT --stop-timeout 3 busybox": run(false, func(s *entroosv1.WorkloadSpec) {
			s.Restart = &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_ON_FAILURE, MaxRetries: 3}
			s.Limits = &entroosv1.Limits{MemoryBytes: 64 << 20, CpuMilli: 500, Pids: 20}
			s.StopSignal, s.StopTimeoutSeconds = "QUIT", 3
		}),
		"run --cpu-request 0.25 --cpu-shares 512 --memory-reservation 32m --constraint node.labels.room==attic --constraint node.hostname!=cellar busybox": run(false, func(s *entroosv1.WorkloadSpec) {
			s.CpuRequestMilli, s.CpuWeight, s.MemoryRequestBytes = 250, 50, 32<<20
			s.Constraints = []string{"node.labels.room==attic", "node.hostname!=cellar"}
		}),
		"router explain web":        &entroosv1.ExplainRequest{Container: "web"},
		"router explain":            &entroosv1.RouterStatusRequest{},
		"router status":             &entroosv1.RouterStatusRequest{},
		"router explain --json web": &entroosv1.ExplainRequest{Container: "web"},
		"router explain --spec -p 80:80 --cpu-request 2 nginx": &entroosv1.ExplainRequest{Spec: &entroosv1.WorkloadSpec{
			Image: "nginx", Network: "bridge", Limits: &entroosv1.Limits{}, CpuRequestMilli: 2000,
			Restart: &entroosv1.RestartPolicy{Mode: entroosv1.RestartPolicy_MODE_NO},
			Ports:   []*entroosv1.PortMapping{{HostPort: 80, ContainerPort: 80, Protocol: "tcp"}},
		}},
		"run --entrypoint= busybox x": run(false, func(s *entroosv1.WorkloadSpec) {
			s.SetEntrypoint, s.Args = true, []string{"x"}
		}),
		"run --entrypoint /bin/sh busybox": run(false, func(s *entroosv1.WorkloadSpec) {
			s.SetEntrypoint, s.Entrypoint = true, []string{"/bin/sh"}
		}),
		"exec -e A=b -w / -u root web sh -c x": &entroosv1.ExecRequest{Request: &entroosv1.ExecRequest_Start{Start: &entroosv1.ExecStart{
			Container: "web", Args: []string{"sh", "-c", "x"}, Env: []string{"A=b"}, Cwd: "/", User: "root",
		}}},
		"stop -t 3 web":             &entroosv1.StopContainerRequest{Container: "web", TimeoutSeconds: 3},
		"start web":                 &entroosv1.StartContainerRequest{Container: "web"},
		"kill web":                  &entroosv1.KillContainerRequest{Container: "web", Signal: 9},
		"kill -s HUP web":           &entroosv1.KillContainerRequest{Container: "web", Signal: 1},
		"kill --signal sigusr1 web": &entroosv1.KillContainerRequest{Container: "web", Signal: 10},
		"rm -f web":                 &entroosv1.RemoveContainerRequest{Container: "web", Force: true},
		"images prune -f":           &entroosv1.PruneImagesRequest{},
		"rmi busybox":               &entroosv1.RemoveImageRequest{Image: "busybox"},
		"ps -a":                     &entroosv1.ListContainersRequest{All: true},
		"logs web":                  &entroosv1.LogsRequest{Container: "web", Tail: -1},
		"logs -n 5 web":             &entroosv1.LogsRequest{Container: "web", Tail: 5},
		"logs --tail all web":       &entroosv1.LogsRequest{Container: "web", Tail: -1},
		"services logs -n 0 ntp":    &entroosv1.LogsRequest{Service: "ntp"},
		"logs --since 1d2h -g x|y web": &entroosv1.LogsRequest{
			Container: "web", Tail: -1, Grep: &entroosv1.LogGrep{Expression: "x|y"},
			Since: &entroosv1.LogTime{Time: &entroosv1.LogTime_AgoNanos{AgoNanos: 26 * 3600e9}},
		},
		"logs --until 1970-01-01T00:00:02Z -vF -g x| web": &entroosv1.LogsRequest{
			Container: "web", Tail: -1, Grep: &entroosv1.LogGrep{Expression: "x|", Fixed: true, Invert: true},
			Until: &entroosv1.LogTime{Time: &entroosv1.LogTime_UnixNano{UnixNano: 2e9}},
		},
		"services logs -iF -g x| ntp": &entroosv1.LogsRequest{Service: "ntp", Tail: -1, Grep: &entroosv1.LogGrep{Expression: `(?i)x\|`}},
		"services kill ntp":           &entroosv1.SignalServiceRequest{Service: "ntp", Signal: 9},
		"services restart ntp":        &entroosv1.SignalServiceRequest{Service: "ntp", Signal: 15},
		"services signal ntp SIGUSR2": &entroosv1.SignalServiceRequest{Service: "ntp", Signal: 12},
		"ledger ls -n 7 --json":       &entroosv1.ListReceiptsRequest{Limit: 7},
		"ledger show abcd":            &entroosv1.GetReceiptRequest{Id: "abcd"},
		"ledger show 12":              &entroosv1.GetReceiptRequest{Id: "#12"},
		"ledger show #12":             &entroosv1.GetReceiptRequest{Id: "#12"},
		"ledger show 1234":            &entroosv1.GetReceiptRequest{Id: "1234"},
		"ledger export #1":            &entroosv1.ExportReceiptRequest{Id: "#1"},
		"reboot":                      &entroosv1.RebootRequest{},
		"poweroff":                    &entroosv1.PowerOffRequest{},
	} {
		t.Run(line, func(t *testing.T) {
			b, _, stderr, status := do(t, strings.Fields(line)...)
			if status != 0 {
				t.Fatalf("exit %d: %s", status, stderr)
			}
			if got := b.asked(); !proto.Equal(got, want) {
				t.Errorf("asked\n%v, want\n%v", got, want)
			}
		})
	}
}

func TestExitStatus(t *testing.T) {
	for line, want := range map[string]struct {
		status int
		stderr string
	}{
		"run busybox echo hi":                {0, ""},
		"run busybox fail":                   {3, "failed\n"},
		"run busybox oom":                    {137, "entroos: the container ran out of memory and was killed\n"},
		"run busybox broken":                 {125, "entroos: the program is not in the image\n"},
		"run busybox notfound":               {127, "entroos: no such program\n"},
		"run busybox cut":                    {125, "entroos: the box stops\n"},
		"run missing":                        {125, "entroos: no image is named missing; import it\n"},
		"run -d missing":                     {125, "entroos: no image is named missing; import it\n"},
		"run":                                {125, "entroos: entroos run: requires at least 1 arg(s), only received 0\nusage: entroos run [FLAGS] IMAGE [ARG...]\n"},
		"run --nonsense busybox":             {125, "entroos: unknown flag: --nonsense\n"},
		"run -it busybox":                    {125, "entroos: -t with -i needs a terminal as standard input\n"},
		"run -p 80 busybox":                  {125, "entroos: -p 80: name the box's port too: HOST:CONTAINER\n"},
		"run -v data busybox":                {125, "entroos: -v \"data\" is not SOURCE:TARGET[:ro]\n"},
		"run -v data:/x:z busybox":           {125, "entroos: -v \"data:/x:z\" is not SOURCE:TARGET[:ro]\n"},
		"run --restart x busybox":            {125, "entroos: --restart \"x\" is none of no, on-failure[:MAX], always, unless-stopped\n"},
		"run -m lots busybox":                {125, "entroos: --memory \"lots\" is no size; write 64m or 1g\n"},
		"run --cpus NaN busybox":             {125, "entroos: --cpus NaN is no number of cores from 0.01 to 1000\n"},
		"run --cpus 0.009 busybox":           {125, "entroos: --cpus 0.009 is no number of cores from 0.01 to 1000\n"},
		"run --cpu-request no busybox":       {125, "entroos: --cpu-request no is no number of cores\n"},
		"run --cpu-request 0.0001 busybox":   {125, "entroos: --cpu-request 0.0001 is no number of cores from 0.001 to 1000\n"},
		"run --cpu-shares 1 busybox":         {125, "entroos: --cpu-shares 1 is no number of CPU shares from 2 to 102400\n"},
		"run --memory-reservation x busybox": {125, "entroos: --memory-reservation \"x\" is no size; write 64m or 1g\n"},
		"run --constraint room==x busybox":   {125, "entroos: --constraint: constraint on \"room\": must be on node.id, node.hostname or node.labels.KEY\n"},
		"run large echo hi":                  {0, "entroos: big is queued: no room; Ctrl-C gives it up\n"},
		"run -d large":                       {0, "entroos: big is queued: no room; it starts when there is room\n"},
		"start large":                        {0, "entroos: big is queued: no room; it starts when there is room\n"},
		"router explain --spec":              {2, "entroos: entroos router explain: no image is named\nusage: entroos router explain [CONTAINER | --spec [FLAGS] IMAGE]\n"},
		"router explain a b":                 {2, "entroos: entroos router explain: one container at most; with --spec, an image and its arguments\nusage: entroos router explain [CONTAINER | --spec [FLAGS] IMAGE]\n"},
		"run --network bad busybox":          {125, "entroos: --network \"bad\" is none of bridge, host, none\n"},
		"run --json busybox":                 {125, "entroos: --json goes with -d: an attached run prints the container's output alone\n"},
		"exec web fail":                      {3, "failed\n"},
		"exec missing true":                  {125, "entroos: no container is named missing; `ps -a` lists them\n"},
		"exec web":                           {125, "entroos: entroos exec: requires at least 2 arg(s), only received 1\nusage: entroos exec [FLAGS] CONTAINER COMMAND [ARG...]\n"},
		"stop missing":                       {1, "entroos: no container is named missing; `ps -a` lists them\n"},
		"stop -t 0 web":                      {2, "entroos: -t 0: use `kill` to end a container at once\n"},
		"kill -s FOO web":                    {2, "entroos: unknown signal \"FOO\"\n"},
		"stop":                               {2, "entroos: entroos stop: requires at least 1 arg(s), only received 0\nusage: entroos stop CONTAINER...\n"},
		"logs -n x web":                      {2, "entroos: --tail \"x\" is neither a number of lines nor all\n"},
		"logs --since soon web":              {2, "entroos: --since \"soon\" is no time: say how long ago (10m, 2h30m, 1d) or when (\"2026-11-23 10:00\", 2026-11-23T10:00:00Z, 10:00)\n"},
		"logs -i --grep a(b web":             {2, "entroos: --grep \"a(b\": missing closing ) at \"a(b\"; with -F it is the text itself\n"},
		"logs --grep a** web":                {2, "entroos: --grep \"a**\": invalid nested repetition operator at \"**\"; with -F it is the text itself\n"},
		"logs -v web":                        {2, "entroos: -F, -i and -v say how --grep matches, and there is no --grep\n"},
		"images prune":                       {2, "entroos: This removes all images that no container uses; give --yes to go on without being asked\n"},
		"images prune all":                   {2, "entroos: entroos images prune: unknown command \"all\" for \"entroos images prune\"\nusage: entroos images prune\n"},
		"staus":                              {2, "entroos: unknown command \"staus\" for \"entroos\"; did you mean start or status?\n"},
		"xyzzy":                              {2, "entroos: unknown command \"xyzzy\" for \"entroos\"; `help` lists them\n"},
		"ledger shw":                         {2, "entroos: unknown command \"shw\" for \"entroos ledger\"; did you mean show?\n"},
		"ledger verify /dev/null":            {2, "entroos: --trust GENESIS_HASH is needed: a file cannot vouch for itself\n"},
		"--admin tcp:1 status":               {2, "entroos: --admin \"tcp:1\" is neither unix:PATH nor vsock:CID:PORT\n"},
		"--admin unix:/nope/x ps":            {1, "entroos: no box answers at unix:/nope/x: no such file or directory\n"},
		"import /does/not/exist.tar":         {1, "entroos: open /does/not/exist.tar: no such file or directory\n"},
		"import /":                           {1, "entroos: / is a folder; give an archive, as from podman save --format oci-archive\n"},
	} {
		t.Run(line, func(t *testing.T) {
			_, stdout, stderr, status := do(t, strings.Fields(line)...)
			if status != want.status || stderr != want.stderr {
				t.Errorf("exit %d, stderr %q, want %d, %q (stdout %q)", status, stderr, want.status, want.stderr, stdout)
			}
		})
	}
}

func TestText(t *testing.T) {
	for line, want := range map[string]string{
		"run -d busybox":       containerID + "\n",
		"run busybox echo a b": "a b\n",
		"ps": "CONTAINER ID  NAME  IMAGE  STATUS        PORTS         COMMAND\n" +
			"0123456789ab  web   nginx  Up 5 minutes  8080->80/tcp  nginx -g 'daemon off;'\n",
		"ps -q":  "0123456789ab\n",
		"ps -aq": "0123456789ab\nffffffffffff\n",
		"stop a": "a\n",
		"rm a b": "a\nb\n",
		"ps -a": "CONTAINER ID  NAME  IMAGE    STATUS                                   PORTS         COMMAND\n" +
			"0123456789ab  web   nginx    Up 5 minutes                             8080->80/tcp  nginx -g 'daemon off;'\n" +
			"ffffffffffff  hog   busybox  Exited (137) 2 hours ago, out of memory  -             -\n",
		"services": "NAME     STATE    PID  UP         RESTARTS  AVAILABILITY  MEMORY  LAST EXIT\n" +
			"ledgerd  running  71   3 minutes  0         100%          34MiB   -\n" +
			"ntp      waiting  -    -          0         99.99%        -       exit status 1\n",
		"images": "IMAGE           DIGEST        SIZE   ENTROPY  IMPORTED           CREATED\n" +
			"busybox:latest  6105d6cc76af  2.1MB  0.713    about an hour ago  -\n" +
			"box             6105d6cc76af  2.1MB  0.713    about an hour ago  -\n" +
			"old:1           cdcdcdcdcdcd  1MB    unknown  about an hour ago  -\n",
		"images prune -f": "Untagged: old:1\nDeleted: sha256:" + strings.Repeat("ab", 32) + "\nFreed: 12.3MB\n",
		"logs -t web":     "1970-01-01T00:00:00.000000001Z one\n1970-01-01T00:00:00.000000001Z two\n",
		"ledger ls": "SEQ  P             IMAGE           EXIT  OUTCOME   HEIGHT  FINISHED\n" +
			"#2   7069e097f343  busybox:latest  137   signaled  4       2027-01-15 08:00\n" +
			"#1   713b24c3ef54  busybox:latest  0     exited    2       2027-01-15 08:00\n",
		"ledger export #1": "proof\x00\xff",
	} {
		t.Run(line, func(t *testing.T) {
			_, stdout, stderr, status := do(t, strings.Fields(line)...)
			if status != 0 || stdout != want {
				t.Errorf("exit %d, %s\ngot\n%s\nwant\n%s", status, stderr, stdout, want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	var status map[string]any
	if _, out, _, _ := do(t, "status", "--json"); json.Unmarshal([]byte(out), &status) != nil {
		t.Fatal(out)
	}
	for field, want := range map[string]any{
		"state": "ready", "containers_running": 1.0, "memory_total_bytes": float64(480 << 20), "ready_seconds": 2.31,
		"boot": "2027-01-15T08:00:00.123456789Z", "orphans_reaped": 0.0,
	} {
		if status[field] != want {
			t.Errorf("status: %s is %v, want %v", field, status[field], want)
		}
	}
	if list, ok := status["problems"].([]any); !ok || len(list) != 0 {
		t.Errorf("status: problems is %v, want an empty list", status["problems"])
	}
	var containers []struct {
		State   string
		Created *time.Time
		Spec    struct {
			Name    string
			Limits  *struct{}
			Ports   []struct{ Host_port int } //nolint:revive // JSON's name
			Restart any
		}
	}
	if _, out, _, _ := do(t, "ps", "--json"); json.Unmarshal([]byte(out), &containers) != nil {
		t.Fatal(out)
	}
	if c := containers[0]; c.State != "running" || c.Created != nil || c.Spec.Name != "web" || c.Spec.Limits != nil || c.Spec.Ports[0].Host_port != 8080 {
		t.Errorf("ps: %+v", c)
	}
	var receipts []receiptJSON
	if _, out, _, _ := do(t, "ledger", "ls", "--json"); json.Unmarshal([]byte(out), &receipts) != nil {
		t.Fatal(out)
	}
	if r := receipts[0]; r.Sequence != 2 || r.Usage.IOReadBytes != nil || *r.Usage.PidsPeak != 1 || r.Outcome != "signaled" || r.Height != 4 {
		t.Errorf("ledger ls: %+v", r)
	}
	for _, line := range []string{"services", "images", "version", "ledger status", "ledger show #1", "run -d"} {
		args := append(strings.Fields(line), "--json")
		if line == "run -d" {
			args = append(args, "busybox")
		}
		if _, out, stderr, _ := do(t, args...); !json.Valid([]byte(out)) {
			t.Errorf("%s: %s%s", line, out, stderr)
		}
	}
}

func TestImport(t *testing.T) {
	archive := bytes.Repeat([]byte("archive"), 100_000)
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, archive, 0o644); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a.tar":
			w.Write(archive)
		case "/cut.tar": // promises more than it gives
			w.Header().Set("Content-Length", "1000000")
			w.Write(archive[:1000])
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for _, source := range []string{file, server.URL + "/a.tar", "-"} {
		b, admin := serveFakeBox(t)
		trial := newTrial(admin)
		trial.stdin = bytes.NewReader(archive)
		if status := trial.execute(context.Background(), []string{"import", source}); status != 0 {
			t.Fatal(trial.stderr.String())
		}
		if !bytes.Equal(b.imported.Bytes(), archive) {
			t.Errorf("%s: the box got %d bytes of %d", source, b.imported.Len(), len(archive))
		}
		if got := trial.stdout.String(); got != "Loaded image: busybox:latest\n" {
			t.Errorf("printed %q", got)
		}
	}
	for source, want := range map[string]string{
		server.URL + "/none":    "404 Not Found",
		server.URL + "/cut.tar": "reading the archive: unexpected EOF",
	} {
		if _, _, stderr, status := do(t, "import", source); status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q", source, status, stderr)
		}
	}
	_, admin := serveFakeBox(t)
	trial := newTrial(admin)
	trial.stdin = io.MultiReader(strings.NewReader("refuse"), strings.NewReader(strings.Repeat("x", 8<<20)))
	if status := trial.execute(context.Background(), []string{"load", "-"}); status != 1 || trial.stderr.String() != "entroos: this is no image archive\n" {
		t.Errorf("exit %d, %q", status, trial.stderr.String())
	}
}

func TestAttachedInput(t *testing.T) {
	_, admin := serveFakeBox(t)
	trial := newTrial(admin)
	trial.stdin = strings.NewReader("from here\n")
	if status := trial.execute(context.Background(), []string{"run", "-i", "busybox", "cat"}); status != 0 {
		t.Fatal(trial.stderr.String())
	}
	if got := trial.stdout.String(); got != "from here\n" {
		t.Errorf("printed %q", got)
	}
}

// TestInputStaysUnread: what is typed after a command's end is not lost to it.
func TestInputStaysUnread(t *testing.T) {
	_, admin := serveFakeBox(t)
	reading, writing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	defer writing.Close()
	trial := newTrial(admin)
	trial.stdin = reading
	if status := trial.execute(context.Background(), []string{"run", "-i", "busybox", "echo", "done"}); status != 0 {
		t.Fatal(trial.stderr.String())
	}
	if _, err := writing.WriteString("next"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(reading, got); err != nil || string(got) != "next" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestSignalsReachTheContainer(t *testing.T) {
	b, admin := serveFakeBox(t)
	trial := newTrial(admin)
	ended := make(chan int, 1)
	go func() { ended <- trial.execute(context.Background(), []string{"run", "busybox", "wait"}) }()
	waitFor(t, func() bool { return trial.stdout.String() == "ready\n" })
	trial.interrupts.deliver(syscall.SIGTERM)
	if status := <-ended; status != 128+15 {
		t.Errorf("exit %d: %s", status, trial.stderr.String())
	}
	if got := <-b.signals; got != 15 {
		t.Errorf("the container got signal %d", got)
	}
}

func TestThirdInterruptLetsGo(t *testing.T) {
	_, admin := serveFakeBox(t)
	trial := newTrial(admin)
	ended := make(chan int, 1)
	go func() { ended <- trial.execute(context.Background(), []string{"run", "busybox", "stubborn"}) }()
	waitFor(t, func() bool { return trial.stdout.String() == "ready\n" })
	for range leaveAfter {
		trial.interrupts.deliver(syscall.SIGINT)
	}
	told := "entroos: the process goes on; interrupted once more, it is left running\nentroos: left 0123456789ab running\n"
	if status := <-ended; status != 130 || trial.stderr.String() != told {
		t.Errorf("exit %d: %s", status, trial.stderr.String())
	}
}

func TestInterruptCancelsACommand(t *testing.T) {
	b, admin := serveFakeBox(t)
	trial := newTrial(admin)
	ended := make(chan int, 1)
	go func() { ended <- trial.execute(context.Background(), []string{"logs", "-f", "web"}) }()
	waitFor(t, func() bool { return b.asked() != nil })
	trial.interrupts.deliver(os.Interrupt)
	if status := <-ended; status != 130 || strings.Contains(trial.stderr.String(), "entroos:") {
		t.Errorf("exit %d: %s", status, trial.stderr.String())
	}
}

func TestDetachKeys(t *testing.T) {
	for _, test := range []struct {
		reads  []string
		rest   string
		detach bool
	}{
		{[]string{"abc"}, "abc", false},
		{[]string{"a\x10\x11b"}, "a", true},
		{[]string{"a\x10", "\x11"}, "a", true},
		{[]string{"\x10\x10", "b\x11"}, "\x10\x10b\x11", false},
		{[]string{"\x10\x10\x11"}, "\x10", true},
	} {
		var keys detachKeys
		var rest []byte
		detached := false
		for _, read := range test.reads {
			part, detach := keys.filter([]byte(read))
			rest, detached = append(rest, part...), detached || detach
		}
		if string(rest) != test.rest || detached != test.detach {
			t.Errorf("%q: %q, %v", test.reads, rest, detached)
		}
	}
}

func waitFor(t *testing.T, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
