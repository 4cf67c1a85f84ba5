package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// importChunk is how much of an archive goes into one message, in bytes.
const importChunk = 256 << 10

func newImportCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:     "import FILE|URL|-",
		Aliases: []string{"load"},
		Short:   "Import images from an archive",
		Long: "Import images from an OCI or docker archive (podman save, buildah push, docker save), plain or\n" +
			"compressed with gzip or zstd: a file, an http:// or https:// URL, or - for the standard input.\n" +
			"Every digest is verified.",
		Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	quiet := c.Flags().BoolP("quiet", "q", false, "show no progress")
	reference := c.Flags().String("name", "", "NAME[:TAG] for an image that carries no name")
	c.RunE = func(c *cobra.Command, args []string) error {
		archive, size, err := env.openArchive(c.Context(), args[0])
		if err != nil {
			return err
		}
		defer archive.Close()
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			var source io.Reader = archive
			if !*quiet && env.columns() > 0 {
				p := &progress{Reader: archive, size: size, out: env.stderr}
				defer p.clear()
				source = p
			}
			images, err := b.importArchive(ctx, source, *reference)
			if err != nil {
				return err
			}
			if p, ok := source.(*progress); ok {
				p.clear()
			}
			if *asJSON {
				return env.printJSON(jsonList(images))
			}
			return env.printImported(images)
		})
	}
	return c
}

// openArchive opens what the operator named; size is -1 when it is not known.
func (env *environment) openArchive(ctx context.Context, name string) (archive io.ReadCloser, size int64, err error) {
	switch {
	case name == "-":
		return io.NopCloser(env.stdin), -1, nil
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
		if err != nil {
			return nil, 0, usageError(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, 0, err
		}
		if res.StatusCode != http.StatusOK {
			res.Body.Close()
			return nil, 0, fmt.Errorf("%s: the server answered %s", name, res.Status)
		}
		return res.Body, res.ContentLength, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder; give an archive, as from podman save --format oci-archive", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// importArchive sends an archive to the box.
func (b *box) importArchive(ctx context.Context, archive io.Reader, reference string) ([]*entroosv1.Image, error) {
	// Whatever ends this call early ends the stream, and with it the import.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := b.ImportImage(ctx)
	if err := stream.Send(&entroosv1.ImportImageRequest{Reference: reference}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	chunk := make([]byte, importChunk)
	for {
		n, err := archive.Read(chunk)
		if n > 0 {
			// io.EOF says that the box has ended the call: it says why below.
			if err := stream.Send(&entroosv1.ImportImageRequest{Chunk: chunk[:n]}); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
		}
		if err == io.EOF { // not wrapped: a download cut short is another error
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
	}
	res, err := stream.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return res.Msg.Images, nil
}

func (env *environment) printImported(images []*entroosv1.Image) error {
	for _, i := range images {
		if len(i.References) == 0 {
			if err := env.println("Loaded image ID: " + i.Digest); err != nil {
				return err
			}
		}
		for _, reference := range i.References {
			if err := env.println("Loaded image: " + reference); err != nil {
				return err
			}
		}
	}
	return nil
}

// progress is a reader that tells how far it is, on one line of a terminal.
type progress struct {
	io.Reader
	size, done int64
	out        io.Writer
	shown      time.Time
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.done += int64(n)
	if time.Since(p.shown) > 200*time.Millisecond {
		p.shown = time.Now()
		text := units.HumanSizeWithPrecision(float64(p.done), 3)
		if p.size > 0 {
			text += fmt.Sprintf(" of %s (%d%%)", units.HumanSizeWithPrecision(float64(p.size), 3), 100*p.done/p.size)
		}
		fmt.Fprintf(p.out, "\r\x1b[Kimporting %s", text)
	}
	return n, err
}

// clear takes the line away.
func (p *progress) clear() {
	if !p.shown.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = time.Time{}
	}
}
