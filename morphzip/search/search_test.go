package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/entroos/entroos/morphzip"
)

func compress(t interface{ Fatal(...any) }, content []byte, o morphzip.Options) *morphzip.File {
	var file bytes.Buffer
	w, err := morphzip.NewWriter(&file, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := morphzip.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// found is what a search prints, each line with its number.
func found(t interface{ Fatal(...any) }, f *morphzip.File, q *Query, o Options) (string, Stats) {
	o.Numbers = true
	var out strings.Builder
	stats, err := File(context.Background(), f, q, o, func(l Line) error {
		fmt.Fprintf(&out, "%d:%s\n", l.Number, l.Bytes)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), stats
}

// grep is what grep prints.
func grep(t interface{ Fatal(...any) }, content []byte, flags []string, patterns ...string) string {
	args := append([]string{"-anF"}, flags...)
	for _, p := range patterns {
		args = append(args, "-e", p)
	}
	cmd := exec.Command("grep", args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatal(err)
	}
	return string(out)
}

// logLines are lines of a made-up log, with some that are rare.
func logLines(r *rand.Rand, n int, rare ...string) []byte {
	var b []byte
	words := []string{"accepted", "connection", "closed", "timeout", "retrying", "request", "served", "cache", "Broken", "pipe"}
	for i := range n {
		at := fmt.Sprintf("2026-11-23T08:%02d:%02d.%06d", i/6000%60, i/100%60, i%100*10000+r.IntN(10000))
		switch r.IntN(4) {
		case 0:
			b = fmt.Appendf(b, "%s INFO %s %s id=%d addr=10.0.%d.%d:%d took=%d.%03dms\n", at, words[r.IntN(10)], words[r.IntN(10)], i*3, r.IntN(9), r.IntN(250), 1024+r.IntN(60000), r.IntN(90), r.IntN(1000))
		case 1:
			b = fmt.Appendf(b, "%s WARN worker-%d: %08x is slow: 0x%04X\n", at, r.IntN(8), r.Uint32(), r.IntN(65536))
		case 2:
			b = fmt.Appendf(b, `{"time":"%s","level":"info","msg":"%s %s","request":"%08x-%04x-4%03x-8%03x-%012x","status":%d}`+"\n", at, words[r.IntN(10)], words[r.IntN(10)],
				r.Uint32(), r.IntN(65536), r.IntN(4096), r.IntN(4096), r.Uint64()>>16, 200+r.IntN(5)*100)
		default:
			b = fmt.Appendf(b, "%s DEBUG block %064x height=%d\n", at, r.Uint64(), i)
		}
		if len(rare) > 0 && r.IntN(n/len(rare)+1) == 0 {
			b = append(b, rare[r.IntN(len(rare))]...)
			b = append(b, '\n')
		}
	}
	return b
}

var drawText = rapid.Custom(func(t *rapid.T) []byte {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		"\n", "\n", "\n\n", "a", "ab", "aB", "needle", "NEEDLE", "10.0.0.1", "17", "999", "0x1f", "\x00", "\r\n", "é", "\xff", " ", " = ", "\t", "k", "ſ", "K", ".*", "2026-01-02 03:04:05",
		strings.Repeat("long ", 900), strings.Repeat("x", 5000) + "\n", strings.Repeat("line of words 12345\n", 300), strings.Repeat("\n", 9000),
	}), 0, 40).Draw(t, "pieces")
	return []byte(strings.Join(pieces, ""))
})

// drawPattern draws a part of the content, or something else.
func drawPattern(t *rapid.T, content []byte) string {
	if len(content) > 0 && rapid.IntRange(0, 3).Draw(t, "kind") > 0 {
		from := rapid.IntRange(0, len(content)-1).Draw(t, "from")
		return string(content[from:min(len(content), from+rapid.IntRange(0, 40).Draw(t, "length"))])
	}
	return rapid.SampledFrom([]string{"", "a", "needle", "zzz", "1", "10.0.0.1", "\n", "a\nb", "é", "x needle y", "12345\n"}).Draw(t, "pattern")
}

func drawLevel(t *rapid.T) morphzip.Options {
	return morphzip.Options{Level: morphzip.Level(rapid.SampledFrom([]int{1, 3, 3, 3, 5, 7, 9}).Draw(t, "level")), BlockSize: 4 << 10}
}

func drawContent(t *rapid.T) []byte {
	if rapid.Bool().Draw(t, "log") {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		return logLines(r, rapid.IntRange(1, 300).Draw(t, "lines"), "a needle", "x")
	}
	return drawText.Draw(t, "text")
}

// The lines are those of grep -aF, whatever the content, level and patterns.
func TestLiteralsAsGrep(t *testing.T) {
	if _, err := exec.LookPath("grep"); err != nil {
		t.Skip("there is no grep to compare with")
	}
	rapid.Check(t, func(t *rapid.T) {
		content := drawContent(t)
		f := compress(t, content, drawLevel(t))
		var patterns []string
		var needles [][]byte
		for range rapid.IntRange(1, 3).Draw(t, "patterns") {
			p := strings.ReplaceAll(drawPattern(t, content), "\x00", "") // an argument has none
			patterns, needles = append(patterns, p), append(needles, []byte(p))
		}
		var flags []string
		fold, invert := rapid.Bool().Draw(t, "fold"), rapid.IntRange(0, 3).Draw(t, "invert") == 0
		if fold {
			flags = append(flags, "-i")
		}
		if invert {
			flags = append(flags, "-v")
		}
		q := Literal(fold, needles...)
		got, _ := found(t, f, q, Options{Invert: invert, Workers: rapid.IntRange(1, 3).Draw(t, "workers")})
		if want := grep(t, content, flags, patterns...); got != want {
			t.Fatalf("%q in %d bytes, fold %v, invert %v:\n%s\nwant\n%s", patterns, len(content), fold, invert, clip(got), clip(want))
		}
		if streamed := stream(t, content, q, Options{Invert: invert}); streamed != got {
			t.Fatalf("%q: from a stream\n%s\nfrom a file\n%s", patterns, clip(streamed), clip(got))
		}
	})
}

func stream(t interface{ Fatal(...any) }, content []byte, q *Query, o Options) string {
	o.Numbers = true
	var out strings.Builder
	err := Reader(context.Background(), bytes.NewReader(content), q, o, func(l Line) error {
		fmt.Fprintf(&out, "%d:%s\n", l.Number, l.Bytes)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func clip(s string) string {
	if len(s) > 2000 {
		return s[:1000] + " … " + s[len(s)-1000:]
	}
	return s
}

// matches is what a regular expression matches, line by line.
func matches(content []byte, e *regexp.Regexp, invert bool) string {
	var out strings.Builder
	lines := bytes.SplitAfter(content, newline)
	for i, l := range lines {
		if len(l) > 0 && e.Match(bytes.TrimSuffix(l, newline)) != invert {
			fmt.Fprintf(&out, "%d:%s\n", i+1, bytes.TrimSuffix(l, newline))
		}
	}
	return out.String()
}

var expressions = []string{
	``, `a`, `a.*b`, `needle`, `(?i)needle`, `(?i:nee)dle|999`, `^$`, `^a`, `b$`, `[0-9]+\.[0-9]+`, `\bworker-[37]\b`, `colou?r|request`, `(accepted|closed) (cache|served)`, `x{3,5}`, `(foo|bar)+ baz`,
	`level":"info".*status":500`, `10\.0\.\d\.1\d\d`, `[^\x00-\x7f]`, `\xff`, `é`, `.`, `(?s).`, `(?i)k`, `(?i)s`, `[ks]`, `nee(dle)?`, `took=[1-4]?7\.`, `id=(3|6|9)+ `, `0x[0-9A-F]{4}$`, `\d{4}-\d\d-\d\dT08:00:0[12]`, `[a-f]{6}`, `\x{FFFD}`, `a|`, `()`, `a**`, `z\n`, `(?m)^needle$`, `\Aa\z`, `(?-s:.)ne+d`,
}

// The lines are those that package regexp matches, and no expression is said to
// need what a text it matches lacks.
func TestExpressionsAsRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := drawContent(t)
		f := compress(t, content, drawLevel(t))
		text := rapid.OneOf(rapid.SampledFrom(expressions), rapid.Custom(func(t *rapid.T) string {
			return regexp.QuoteMeta(drawPattern(t, content))
		}), rapid.Custom(func(t *rapid.T) string {
			a, b := rapid.SampledFrom(expressions).Draw(t, "a"), rapid.SampledFrom(expressions).Draw(t, "b")
			return fmt.Sprintf(rapid.SampledFrom([]string{"(%s)(%s)", "(%s)|(%s)", "(%s).*(%s)", "(?:%s)?(%s)", "(?:%s)+(%s)"}).Draw(t, "shape"), a, b)
		})).Draw(t, "expression")
		fold, invert := rapid.Bool().Draw(t, "fold"), rapid.IntRange(0, 3).Draw(t, "invert") == 0
		whole := text
		if fold {
			whole = "(?i:" + text + ")"
		}
		e, err := regexp.Compile(whole)
		if err != nil {
			t.Skip(err)
		}
		q, err := Expression(fold, text)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := found(t, f, q, Options{Invert: invert, Workers: rapid.IntRange(1, 3).Draw(t, "workers")})
		if want := matches(content, e, invert); got != want {
			t.Fatalf("%q in %d bytes, invert %v:\n%s\nwant\n%s", whole, len(content), invert, clip(got), clip(want))
		}
	})
}

// Of strings of which one has to be there, some with their case and some without.
func TestExpressionsOfBothCases(t *testing.T) {
	content := []byte("FOO zz y\nfoo zz y\nbar zz x\nBAR zz x\nname\x00\x00\x00\x00\nother\n")
	for _, text := range []string{`bar.*x|(?i:foo).*y`, `(?i:foo).*y|bar.*x`, `(bar.*x)|((?i)foo)`, `\x00{4}`, `name\x00+`} {
		for _, level := range []morphzip.Level{1, 3, 7} {
			q, err := Expression(false, text)
			if err != nil {
				t.Fatal(err)
			}
			f := compress(t, bytes.Repeat(content, 200), morphzip.Options{Level: level, BlockSize: 4 << 10})
			got, _ := found(t, f, q, Options{})
			if want := matches(bytes.Repeat(content, 200), regexp.MustCompile(text), false); got != want {
				t.Errorf("%s at %s: %d bytes, want %d", text, level, len(got), len(want))
			}
		}
	}
}
