package image

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is a Markdown link or image; its group is the target.
var link = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// What the README and the docs point to in the repository is there.
func TestDocsLinks(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			target, err := url.Parse(found[1])
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if target.Scheme != "" || target.Path == "" {
				continue
			}
			checked++
			if strings.HasPrefix(target.Path, "/") {
				t.Errorf("%s: %s is not relative", page, found[1])
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), target.Path)); err != nil {
				t.Errorf("%s points to %s: %v", page, found[1], err)
			}
		}
	}
	if len(pages) == 0 || checked == 0 {
		t.Errorf("%d links in %d pages: is the pattern right?", checked, len(pages))
	}
}
