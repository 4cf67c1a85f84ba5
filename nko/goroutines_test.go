//go:build !guest

package nko

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayStart are the functions that start the goroutines of PID 1's packages;
// they recover. The store's, the compressor's and the search's defaults are not
// for PID 1, which gives the store nko.Go and uses of the others what starts none.
var mayStart = []string{"nko.Go", "runtime.Runtime.spawn", "store.withDefaults", "morphzip.Options.complete", "search.Options.complete"}

// starters are the library's functions that call one in a goroutine of its own.
// Their argument has to be nko.Guard's.
var starters = map[string]int{"context.AfterFunc": 1, "time.AfterFunc": 1}

// TestGoroutinesRecover reads the sources of EntroOS's own of which PID 1 is
// made: a panic in a goroutine of theirs must not end it.
func TestGoroutinesRecover(t *testing.T) {
	const own = "github.com/entroos/entroos/"
	out, err := exec.Command("go", "list", "-deps", "-f", "{{range .GoFiles}}{{$.ImportPath}} {{$.Dir}}/{{.}}\n{{end}}", own+"init").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		name, path, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(name, own) {
			continue
		}
		packages[strings.TrimPrefix(name, own)]++
		for _, found := range bareGoroutines(t, path, nil) {
			t.Error(found)
		}
	}
	for _, name := range []string{"init", "appliance", "nko", "runtime", "runtime/oci"} {
		if packages[name] == 0 {
			t.Errorf("package %s was not read", name)
		}
	}
}

// TestGoroutineLintFinds shows that the test above would find what it is for.
func TestGoroutineLintFinds(t *testing.T) {
	const bad = `package appliance
import ("context"; "golang.org/x/sync/errgroup"; "sync"; "time"; "github.com/entroos/entroos/nko")
func f(ctx context.Context, wg *sync.WaitGroup, g *errgroup.Group) {
	go f(ctx, wg, g)
	defer func() { go func() {}() }()
	context.AfterFunc(ctx, func() {})
	time.AfterFunc(1, func() {})
	wg.Go(func() {})
	g.Go(func() error { return nil })
	context.AfterFunc(ctx, nko.Guard("fine", func() {}))
	nko.Go("fine", func() {})
}`
	found := bareGoroutines(t, "../appliance/bad.go", bad)
	if len(found) != 6 {
		t.Errorf("found %d of 6: %s", len(found), strings.Join(found, "\n"))
	}
}

// bareGoroutines gives where a file's goroutines are started without recovery.
func bareGoroutines(t *testing.T, path string, source any) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	report := func(n ast.Node, what string) {
		found = append(found, fmt.Sprintf("%s: %s: use nko.Go (or in package runtime spawn), or nko.Guard", set.Position(n.Pos()), what))
	}
	for _, declaration := range file.Decls {
		f, isFunc := declaration.(*ast.FuncDecl)
		if isFunc && slices.Contains(mayStart, file.Name.Name+"."+receiver(f)+f.Name.Name) {
			continue
		}
		ast.Inspect(declaration, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				report(n, "a go statement")
			case *ast.CallExpr:
				name := called(n)
				argument, known := starters[name]
				switch {
				case known && (len(n.Args) <= argument || !guarded(n.Args[argument])):
					report(n, name)
				case strings.HasSuffix(name, ".Go") && len(n.Args) == 1: // sync.WaitGroup's, errgroup's; not nko.Go
					report(n, name)
				}
			}
			return true
		})
	}
	return found
}

// receiver is "T." for a method of T or *T.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	e := f.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

// called is "x.f" for a call of it.
func called(c *ast.CallExpr) string {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := s.X.(*ast.Ident); ok {
		return x.Name + "." + s.Sel.Name
	}
	return "?." + s.Sel.Name
}

func guarded(e ast.Expr) bool {
	c, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	id, plain := c.Fun.(*ast.Ident)
	return called(c) == "nko.Guard" || plain && id.Name == "Guard"
}
