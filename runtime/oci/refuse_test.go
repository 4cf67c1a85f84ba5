package oci_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/entroos/entroos/runtime/oci"
)

// trial is a store with an image in it, all that it has on disk and in its
// records.
type trial struct {
	*oci.Store
	t      testing.TB
	dir    string
	db     *bbolt.DB
	before []string
}

func newTrial(t testing.TB) *trial {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("unpacking layers takes root")
	}
	tr := &trial{t: t, dir: t.TempDir()}
	var err error
	if tr.db, err = bbolt.Open(filepath.Join(tr.dir, "db"), 0o600, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if tr.Store, err = oci.Open(filepath.Join(tr.dir, "images"), tr.db); err != nil {
		t.Fatal(err)
	}
	importAll(t, tr.Store, archiveOf(t, imageOf(t, layerOf(t, folder("etc/"), file("etc/here", "before"))), "before"))
	tr.before = tr.state()
	return tr
}

// state lists every file and every record.
func (tr *trial) state() []string {
	tr.t.Helper()
	var all []string
	err := filepath.WalkDir(filepath.Join(tr.dir, "images"), func(path string, d fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	err = tr.db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				all = append(all, fmt.Sprintf("%s/%s=%s", name, k, v))
				return nil
			})
		})
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	return all
}

// refuses imports the archive, which has to fail for the reason, and to leave
// everything as it was.
func (tr *trial) refuses(t testing.TB, archive []byte, reason error) {
	t.Helper()
	_, err := tr.Import(t.Context(), bytes.NewReader(archive), "")
	switch {
	case err == nil:
		t.Error("it was imported")
	case !errors.Is(err, reason):
		t.Errorf("%v, which is not: %v", err, reason)
	default:
		t.Log(err)
	}
	if strings.ContainsFunc(fmt.Sprint(err), func(r rune) bool { return r < ' ' && r != '\n' }) {
		t.Errorf("the error would play with a terminal: %q", err)
	}
	if len(fmt.Sprint(err)) > 4000 {
		t.Errorf("an error of %d bytes", len(fmt.Sprint(err)))
	}
	if after := tr.state(); !slices.Equal(after, tr.before) {
		t.Errorf("something is left:\n%s\nwhere there was\n%s", strings.Join(after, "\n"), strings.Join(tr.before, "\n"))
	}
}

// with gives an entry PAX records.
func (e entry) with(records ...string) entry {
	e.Format = tar.FormatPAX
	e.PAXRecords = make(map[string]string)
	for i := 0; i < len(records); i += 2 {
		e.PAXRecords[records[i]] = records[i+1]
	}
	return e
}

func owned(e entry, uid, gid int) entry {
	e.Uid, e.Gid = uid, gid
	return e
}

func device(name string, kind byte) entry {
	return entry{tar.Header{Name: name, Typeflag: kind, Mode: 0o666, Devmajor: 8}, ""}
}

const attribute = "SCHILY.xattr."

func TestLayersThatAreRefused(t *testing.T) {
	deep := strings.Repeat("d/", 300)
	chain := []entry{link(tar.TypeSymlink, "l0", strings.Repeat("d/", 200)+"d")}
	for i := 1; i < 30; i++ { // each leads 200 folders further down
		chain = append(chain, link(tar.TypeSymlink, fmt.Sprint("l", i), fmt.Sprintf("l%d/%sd", i-1, strings.Repeat("d/", 200))))
	}
	chain = append(chain, file("l29/x", ""))
	tr := newTrial(t)
	for what, refused := range map[string]struct {
		reason  error
		entries []entry
	}{
		"a path out":                 {oci.ErrUnsafe, []entry{file("../../evil", "x")}},
		"a path out from within":     {oci.ErrUnsafe, []entry{file("a/../../evil", "x")}},
		"an absolute path out":       {oci.ErrUnsafe, []entry{file("/../evil", "x")}},
		"a folder out":               {oci.ErrUnsafe, []entry{folder("../evil/")}},
		"a hard link out":            {oci.ErrUnsafe, []entry{link(tar.TypeLink, "evil", "../../../etc/passwd")}},
		"a hard link to nothing":     {oci.ErrUnsafe, []entry{link(tar.TypeLink, "evil", "missing")}},
		"a hard link by a link":      {oci.ErrUnsafe, []entry{link(tar.TypeSymlink, "out", "/etc"), link(tar.TypeLink, "evil", "out/passwd")}},
		"a hard link below a file":   {oci.ErrUnsafe, []entry{file("a", ""), link(tar.TypeLink, "evil", "a/b")}},
		"a hard link to a folder":    {oci.ErrUnsafe, []entry{folder("a/"), link(tar.TypeLink, "evil", "a")}},
		"a hard link to a whiteout":  {oci.ErrUnsafe, []entry{file(".wh.a", ""), link(tar.TypeLink, "evil", "a")}},
		"a hard link to itself":      {oci.ErrUnsafe, []entry{file("a", ""), link(tar.TypeLink, "a", "a")}},
		"a block device":             {oci.ErrUnsafe, []entry{device("sda", tar.TypeBlock)}},
		"a character device":         {oci.ErrUnsafe, []entry{device("mem", tar.TypeChar)}},
		"a device by a link to dev":  {oci.ErrUnsafe, []entry{link(tar.TypeSymlink, "x", "dev"), device("x/sda", tar.TypeBlock)}},
		"a device like a whiteout":   {oci.ErrUnsafe, []entry{{tar.Header{Name: "x", Typeflag: tar.TypeChar}, ""}}},
		"an unknown type":            {oci.ErrUnsupported, []entry{{tar.Header{Name: "x", Typeflag: '7', Size: 1}, "x"}}},
		"below a file":               {oci.ErrUnsafe, []entry{file("a", ""), file("a/b", "x")}},
		"links in a circle":          {oci.ErrUnsafe, []entry{link(tar.TypeSymlink, "a", "b"), link(tar.TypeSymlink, "b", "a"), file("a/x", "")}},
		"a link to itself":           {oci.ErrUnsafe, []entry{link(tar.TypeSymlink, "a", "a"), file("a/x", "")}},
		"a root that is a link":      {oci.ErrUnsafe, []entry{link(tar.TypeSymlink, "./", "/etc"), file("x", "")}},
		"a root that is a file":      {oci.ErrUnsafe, []entry{file(".", "x")}},
		"a whiteout of the parent":   {oci.ErrUnsafe, []entry{file("a/.wh...", "")}},
		"a whiteout of the folder":   {oci.ErrUnsafe, []entry{file("a/.wh..", "")}},
		"a whiteout of nothing":      {oci.ErrUnsafe, []entry{file("a/.wh.", "")}},
		"below a whiteout":           {oci.ErrUnsafe, []entry{file(".wh.a/x", "")}},
		"an overlay's own attribute": {oci.ErrUnsafe, []entry{file("a", "").with(attribute+"trusted.overlay.redirect", "/etc")}},
		"an opaque attribute":        {oci.ErrUnsafe, []entry{folder("a/").with(attribute+"trusted.overlay.opaque", "y")}},
		"a user's overlay attribute": {oci.ErrUnsafe, []entry{folder("a/").with(attribute+"user.overlay.opaque", "y")}},
		"a broken capability":        {oci.ErrMalformed, []entry{file("a", "").with(attribute+"security.capability", "x")}},
		"a long attribute":           {oci.ErrTooLarge, []entry{file("a", "").with(attribute+"user.x", strings.Repeat("x", 60<<10))}},
		"an attribute of a MiB":      {oci.ErrTooLarge, []entry{file("a", "").with(attribute+"user.x", strings.Repeat("x", 1<<20-1000))}},
		"a long attribute's name":    {oci.ErrTooLarge, []entry{file("a", "").with(attribute+"user."+strings.Repeat("x", 300), "x")}},
		"a user that none is":        {oci.ErrUnsafe, []entry{owned(file("a", ""), -1, 0).with("comment", "x")}},
		"a group that none is":       {oci.ErrUnsafe, []entry{owned(file("a", ""), 0, 1<<32-1).with("comment", "x")}},
		"a long name":                {oci.ErrTooLarge, []entry{file(strings.Repeat("x", 256), "")}},
		"a long path":                {oci.ErrTooLarge, []entry{file(strings.Repeat("xxxxxxxxxxxxxxxxxxx/", 200)+"x", "")}},
		"a path of a MiB":            {oci.ErrTooLarge, []entry{file(strings.Repeat("xxxxxxxxxxxxxxx/", 60<<10)+"x", "")}},
		"a deep path":                {oci.ErrTooLarge, []entry{file(deep+"x", "")}},
		"a deep link that dangles":   {oci.ErrTooLarge, []entry{link(tar.TypeSymlink, "a", deep), file("a/x", "")}},
		"links that lead deep down":  {oci.ErrTooLarge, chain},
		"a long link":                {oci.ErrUnsafe, []entry{link(tar.TypeSymlink, "a", strings.Repeat("x", 5000))}},
		"a terminal's control codes": {oci.ErrUnsafe, []entry{file("../\x1b]0;evil\x07\x1b[2J", "x")}},
		"a giant":                    {oci.ErrNoSpace, []entry{sparse("giant", 1<<50)}},
		"a giant of another format":  {oci.ErrNoSpace, []entry{oldSparse("giant")}},
		"the last is unsafe":         {oci.ErrUnsafe, []entry{folder("a/"), file("a/b", "1"), folder("c/"), device("a/sda", tar.TypeBlock)}},
	} {
		t.Run(what, func(t *testing.T) {
			raw := rawTar(t, refused.entries...)
			tr.refuses(t, archiveOf(t, imageOf(t, layerFrom(t, raw)), "x"), refused.reason)
		})
	}
}

// sparse is a file of which nothing is stored, by GNU tar's PAX records.
func sparse(name string, size int64) entry {
	return file(name, "").with("GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.name", name,
		"GNU.sparse.size", fmt.Sprint(size), "GNU.sparse.numblocks", "0", "GNU.sparse.map", "")
}

// oldSparse is one of 1 PiB by GNU's old header, which archive/tar does not
// write.
func oldSparse(name string) entry {
	return entry{tar.Header{Name: name, Typeflag: 'S', Mode: 0o644}, ""}
}

// rawTar is tarOf with what archive/tar does not write.
func rawTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var all []byte
	for _, e := range entries {
		switch {
		case e.Typeflag == 'S':
			e.Typeflag, e.Format = tar.TypeReg, tar.FormatGNU
			raw := tarOf(t, e)
			raw[156] = 'S'
			copy(raw[483:495], []byte{0x80, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0})
			fixChecksum(raw[:512])
			all = append(all, raw[:512]...)
		case e.PAXRecords["GNU.sparse.major"] != "":
			all = append(all, paxHeader(t, e)...)
		default:
			raw := tarOf(t, e)
			all = append(all, raw[:len(raw)-1024]...)
		}
	}
	return append(all, make([]byte, 1024)...)
}

// paxHeader is an entry without content, with records that archive/tar keeps
// for itself.
func paxHeader(t testing.TB, e entry) []byte {
	t.Helper()
	var records strings.Builder
	for key, value := range e.PAXRecords {
		size := len(key) + len(value) + 3
		for n := 0; n != len(fmt.Sprint(size))+len(key)+len(value)+3; {
			n = len(fmt.Sprint(size)) + len(key) + len(value) + 3
			size = n
		}
		fmt.Fprintf(&records, "%d %s=%s\n", size, key, value)
	}
	x := tarOf(t, entry{tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(records.Len())}, records.String()})
	x[156] = 'x'
	fixChecksum(x[:512])
	plain := tarOf(t, file(e.Name, ""))
	return append(x[:len(x)-1024], plain[:len(plain)-1024]...)
}

// TestLayersThatAreTamed are hostile too, but what they want happens within the
// layer, or not at all.
func TestLayersThatAreTamed(t *testing.T) {
	outside := t.TempDir()
	tr := newTrial(t)
	images := importAll(t, tr.Store, archiveOf(t, imageOf(t, layerFrom(t, rawTar(t,
		// Symbolic links lead nowhere else, whatever is written through them.
		link(tar.TypeSymlink, "out", outside), file("out/evil", "1"),
		link(tar.TypeSymlink, "up", "../../../.."), file("up/evil2", "2"),
		link(tar.TypeSymlink, "dangling", "not/there"), file("dangling/x", "3"),
		link(tar.TypeSymlink, "chain", "up/up/chain2"), link(tar.TypeSymlink, "chain2", "/not/there"), file("chain/y", "4"),
		link(tar.TypeSymlink, "file", filepath.Join(outside, "evil")), file("file", "5"),
		// A hard link to a link is that link, and goes when it is written to.
		link(tar.TypeSymlink, "secret", outside+"/evil3"), link(tar.TypeLink, "hard", "secret"), file("hard", "6"),
		// A whiteout and an opaque folder through a link.
		link(tar.TypeSymlink, "w", outside), file("w/.wh.gone", ""), file("w/.wh..wh..opq", ""),
		// A folder that becomes a link, with what is in it.
		folder("turn/"), file("turn/a", "7"), link(tar.TypeSymlink, "turn", outside), file("turn/b", "8"),
		// Attributes that are no image's are left out.
		file("marked", "").with(attribute+"security.selinux", "evil", attribute+"system.posix_acl_access", "evil", attribute+"user.ok", "yes"),
		// Names are any bytes but two.
		file("latin\xe9", "9"), file("new\nline", "10"),
		// Devices below /dev are not made, and AUFS's own files neither.
		device("dev/sda", tar.TypeBlock), file(".wh..wh.plnk/12.34", ""), file(".wh..wh.aufs", ""),
		// Times that no file system can keep.
		aged(file("old", ""), -1<<40), aged(file("new", ""), 1<<40),
		sparse("small", 10000),
	))), "x"))
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside of the layer there are now %v, %v", entries, err)
	}
	var a [1]byte
	if _, err := unix.Getxattr(outside, "trusted.overlay.opaque", a[:]); !errors.Is(err, unix.ENODATA) {
		t.Errorf("a folder outside is opaque: %v", err)
	}
	layers := oci.Layers(tr.Lowers(images[0]))
	for name, want := range map[string]string{
		outside + "/evil": "1", "evil2": "2", "not/there/x": "3", "not/there/y": "4", "file": "5", "hard": "6",
		outside + "/b": "8", "latin\xe9": "9", "new\nline": "10", "small": strings.Repeat("\x00", 10000),
	} {
		if got, err := layers.ReadFile(name, 20000); err != nil || string(got) != want {
			t.Errorf("%q: %.20q, %v", name, got, err)
		}
	}
	for _, name := range []string{"dev/sda", ".wh..wh.plnk", ".wh..wh.aufs", outside + "/gone", outside + "/a"} {
		if _, _, err := layers.Lookup(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	path, _, err := layers.Lookup("marked")
	if err != nil {
		t.Fatal(err)
	}
	names := make([]byte, 1000)
	n, err := unix.Listxattr(path, names)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(names[:n]); got != "user.ok\x00" && got != "" { // not every file system has them
		t.Errorf("attributes %q", got)
	}
}

func aged(e entry, seconds int64) entry {
	e = e.with("comment", "x")
	e.ModTime = unixTime(seconds)
	return e
}

// TestLowerLayers has a layer meddle with what lies below it.
func TestLowerLayers(t *testing.T) {
	tr := newTrial(t)
	base := layerOf(t, folder("etc/"), file("etc/shadow", "secret"), folder("d/"), file("d/old", "1"), file("top", "1"))
	// A hard link reaches files of its own layer alone.
	tr.refuses(t, archiveOf(t, imageOf(t, base, layerOf(t, link(tar.TypeLink, "mine", "etc/shadow"))), "x"), oci.ErrUnsafe)

	// A whiteout hides what is below, though not what its own layer has there.
	for what, entries := range map[string][]entry{
		"before": {file(".wh.d", ""), folder("d/"), file("d/new", "2")},
		"after":  {folder("d/"), file("d/new", "2"), file(".wh.d", "")},
		"alone":  {file(".wh.d", ""), file("d/new", "2")},
	} {
		image := importAll(t, tr.Store, archiveOf(t, imageOf(t, base, layerOf(t, entries...)), "x"))[0]
		layers := oci.Layers(tr.Lowers(image))
		if got, err := layers.ReadFile("d/new", 10); err != nil || string(got) != "2" {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		if _, err := layers.ReadFile("d/old", 10); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: what was hidden is there: %v", what, err)
		}
	}
	// So does an opaque root.
	image := importAll(t, tr.Store, archiveOf(t, imageOf(t, base, layerOf(t, file(".wh..wh..opq", ""), file("own", "2"))), "x"))[0]
	layers := oci.Layers(tr.Lowers(image))
	if _, err := layers.ReadFile("own", 10); err != nil || len(layers) != 1 {
		t.Errorf("%v, %d layers", err, len(layers))
	}
}

// TestSharedLayers has an image bring a layer that another one has, above other
// layers, from which its folders take their owners: those of the other image
// must not come from there.
func TestSharedLayers(t *testing.T) {
	shared := layerOf(t, file("etc/passwd", "root:x:0:0::/:/bin/sh\n")) // it implies etc
	mode := func(name string, mode int64) entry {
		e := owned(folder(name), 1000, 1000)
		e.Mode = mode
		return e
	}
	evil := imageOf(t, layerOf(t, mode("etc/", 0o777)), shared)
	bare := imageOf(t, shared)
	honest := imageOf(t, layerOf(t, folder("etc/"), file("etc/motd", "")), shared)
	for _, order := range [][]v1.Image{{evil, honest, bare}, {bare, evil, honest}, {honest, bare, evil}} {
		tr := newTrial(t)
		for i, image := range order {
			importAll(t, tr.Store, archiveOf(t, image, fmt.Sprint("x", i)))
		}
		for _, image := range []v1.Image{honest, bare} {
			got, err := tr.Get(digestOf(t, image))
			if err != nil {
				t.Fatal(err)
			}
			_, info, err := oci.Layers(tr.Lowers(got)).Lookup("etc")
			if err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("etc is %v, %v", info.Mode(), err)
			}
		}
	}
}

func unixTime(seconds int64) time.Time { return time.Unix(seconds, 0) }
