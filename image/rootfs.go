package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// File is a file, folder or symbolic link on the root file system. All belong to
// root.
type File struct {
	// Path is absolute.
	Path string
	// Mode is the permissions, with fs.ModeDir, fs.ModeSymlink, fs.ModeSticky
	// where they apply.
	Mode fs.FileMode
	// Source is the build machine's file that is copied; empty for Content.
	Source string
	// Content is the file's content, or the link's target.
	Content string
}

// baseFiles are what every EntroOS has on its root but its programs.
func (b *Builder) baseFiles() []File {
	folder := func(path string, mode fs.FileMode) File { return File{Path: path, Mode: fs.ModeDir | mode} }
	text := func(path, content string) File { return File{Path: path, Mode: 0o644, Content: content} }
	return []File{
		// Mounted on, or over, by PID 1.
		folder("/dev", 0o755), folder("/proc", 0o555), folder("/sys", 0o555), folder("/run", 0o755),
		folder("/tmp", 0o777|fs.ModeSticky),
		folder("/perm", 0o755), folder("/esp", 0o700), folder("/settings", 0o700),
		folder("/root", 0o700), folder("/etc", 0o755),

		text("/etc/os-release", osRelease(b.Version)),
		// gokrazy's dhcp writes it there.
		{Path: "/etc/resolv.conf", Mode: fs.ModeSymlink, Content: "/tmp/resolv.conf"},
		text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
		// Without it Go asks DNS before /etc/hosts.
		text("/etc/nsswitch.conf", "hosts: files dns\n"),
		text("/etc/passwd", "root:x:0:0:root:/root:/bin/entroos\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"),
		text("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
		{Path: caCertificates, Mode: 0o644, Source: caCertificates},
		// By this name /bin/entroos is routerd.
		{Path: "/bin/routerd", Mode: fs.ModeSymlink, Content: "entroos"},
		// Checks and mends the data partition before it is mounted.
		{Path: "/bin/e2fsck", Mode: 0o755, Source: staticE2fsck},
	}
}

// firmwareFiles are the firmware and its licences.
func (b *Builder) firmwareFiles() []File {
	files := make([]File, 0, len(b.Firmware.Files))
	for path, content := range b.Firmware.Files {
		files = append(files, File{Path: path, Mode: 0o644, Content: string(content)})
	}
	return files
}

// osRelease is /etc/os-release, which is also how the boot loader names the UKI.
func osRelease(version string) string {
	return fmt.Sprintf("NAME=EntroOS\nID=entroos\nVERSION_ID=%s\nPRETTY_NAME=\"EntroOS %s\"\n", version, version)
}

// writeSquashfs lays the files out in the folder staging and packs that into the
// squashfs at output.
func (b *Builder) writeSquashfs(ctx context.Context, output, staging string, files []File) error {
	if err := mkdirs(staging); err != nil {
		return err
	}
	for _, file := range files {
		if err := stage(staging, file); err != nil {
			return fmt.Errorf("%s on the root file system: %w", file.Path, err)
		}
	}
	level := squashfsLevel
	if b.Quick {
		level = "1"
	}
	seconds := strconv.FormatInt(epoch.Unix(), 10)
	var environment []string
	for _, variable := range fixedEnvironment() {
		// mksquashfs refuses it beside explicit times.
		if !strings.HasPrefix(variable, "SOURCE_DATE_EPOCH=") {
			environment = append(environment, variable)
		}
	}
	return run(ctx, command{
		name: "mksquashfs",
		args: []string{
			staging, output, "-noappend", "-no-progress", "-quiet",
			"-comp", "zstd", "-Xcompression-level", level, "-b", squashfsBlock,
			"-all-root", "-no-xattrs", "-all-time", seconds, "-mkfs-time", seconds,
		},
		environment: environment,
	})
}

const (
	// squashfsLevel is zstd's compression level. Higher ones take twice as long
	// for less than 1 %.
	squashfsLevel = "15"
	// squashfsBlock is how much is unpacked for one page of a program: larger
	// blocks pack better and read slower.
	squashfsBlock = "256K"
)

// stage puts one file into the staging folder. Files keep no owner and no time
// there; mksquashfs sets both.
func stage(staging string, file File) error {
	if !path.IsAbs(file.Path) || path.Clean(file.Path) != file.Path || file.Path == "/" {
		return errors.New("its path must be absolute and clean")
	}
	target := filepath.Join(staging, filepath.FromSlash(file.Path))
	if err := mkdirs(filepath.Dir(target)); err != nil {
		return err
	}
	permissions := file.Mode & (fs.ModePerm | fs.ModeSticky | fs.ModeSetuid | fs.ModeSetgid)
	switch {
	case file.Mode&fs.ModeSymlink != 0:
		return os.Symlink(file.Content, target)
	case file.Mode.IsDir():
		if err := os.Mkdir(target, 0o700); err != nil {
			// A folder that an earlier file needed, now with its own mode.
			if info, statErr := os.Stat(target); statErr != nil || !info.IsDir() {
				return err
			}
		}
	default:
		if err := stageContent(target, file); err != nil {
			return err
		}
	}
	// The umask does not apply to chmod.
	return os.Chmod(target, permissions)
}

// mkdirs makes a folder and those above it, with mode 0755 whatever the umask.
func mkdirs(folder string) error {
	if _, err := os.Stat(folder); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := mkdirs(filepath.Dir(folder)); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	return os.Chmod(folder, 0o755)
}

// stageContent writes a regular file, which must not exist.
func stageContent(target string, file File) (err error) {
	var content io.Reader = strings.NewReader(file.Content)
	if file.Source != "" {
		source, err := os.Open(file.Source)
		if err != nil {
			return err
		}
		defer source.Close()
		content = source
	}
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	return errors.Join(err, out.Close())
}
