// Package callers holds the proof that the governing equations are at work: of
// each there is a caller outside of package equations that a binary's main
// reaches, by another way than through the registry and the live checks.
package callers

import (
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/callgraph"
	"golang.org/x/tools/go/callgraph/rta"
	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"

	"github.com/entroos/entroos/equations"
)

const module = "github.com/entroos/entroos"

// mains are the programs of a box, and the operator's command.
var mains = []string{module + "/init", module + "/cmd/ledgerd", module + "/cmd/routerd", module + "/cmd/entroos"}

// unbuilt are the rows whose component is not built yet, with its name. A row
// that has a caller must not be here: the list only shrinks.
var unbuilt = map[int]string{
	16: "router (socket routing)",
	17: "router (session affinity)",
	18: "router (the kernel's map of slots)",
	19: "router (socket routing)",
	51: "ledger (auditor)",
	52: "ledger (auditor)",
	53: "ledger (auditor)",
	66: "appliance (update)",
}

func TestEveryEquationIsAtWork(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads the source of every program, with all that it imports")
	}
	graph, reached := load(t)
	for _, row := range equations.Rows() {
		callers := outside(graph, reached, row.Function)
		component, listed := unbuilt[row.Number]
		switch {
		case listed && len(callers) > 0:
			t.Errorf("row %d, %s (%s), is listed as not built and is called by %v: take it off the list", row.Number, row.Name, component, callers[0])
		case !listed && len(callers) == 0:
			t.Errorf("row %d, %s: equations.%s has no caller that a main reaches", row.Number, row.Name, row.Function)
		case !listed:
			t.Logf("row %d: equations.%s is called by %v", row.Number, row.Function, callers[0])
		}
	}
}

// load makes the call graph of the mains by rapid type analysis, and gives the
// functions that they reach by another way than through a live check.
func load(t *testing.T) (*callgraph.Graph, map[*ssa.Function]bool) {
	t.Helper()
	// A thousand packages, with their syntax, types and code, take half a minute
	// and 3 GB; in less memory it takes longer.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(3 << 30))
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax}, mains...)
	if err != nil {
		t.Fatal(err)
	}
	if packages.PrintErrors(loaded) > 0 {
		t.Fatal("the programs do not compile")
	}
	program, built := ssautil.AllPackages(loaded, ssa.InstantiateGenerics)
	program.Build()
	var roots []*ssa.Function
	for _, p := range built {
		roots = append(roots, p.Func("init"), p.Func("main"))
	}
	graph := rta.Analyze(roots, true).CallGraph
	reached := make(map[*ssa.Function]bool)
	var reach func(n *callgraph.Node)
	reach = func(n *callgraph.Node) {
		if n == nil || reached[n.Func] || check(n.Func) {
			return
		}
		reached[n.Func] = true
		for _, e := range n.Out {
			reach(e.Callee)
		}
	}
	for _, r := range roots {
		reach(graph.Nodes[r])
	}
	return graph, reached
}

// check says whether a function belongs to the registry or to the live checks.
func check(f *ssa.Function) bool {
	for f.Parent() != nil { // a function literal is where it stands
		f = f.Parent()
	}
	file := filepath.Base(f.Prog.Fset.Position(f.Pos()).Filename)
	switch pkg(f) {
	case module + "/equations":
		return file == "registry.go" || strings.HasPrefix(file, "check")
	case module + "/appliance":
		return strings.HasPrefix(file, "telemetry")
	}
	return false
}

func pkg(f *ssa.Function) string {
	if o := f.Origin(); o != nil {
		f = o
	}
	if f.Pkg == nil {
		return ""
	}
	return f.Pkg.Pkg.Path()
}

// outside gives the callers of a function of package equations, or of a method
// as Type.Method, that are reached and in other packages.
func outside(graph *callgraph.Graph, reached map[*ssa.Function]bool, name string) []string {
	var callers []string
	for f, n := range graph.Nodes {
		if f == nil || pkg(f) != module+"/equations" || nameOf(f) != name {
			continue
		}
		for _, e := range n.In {
			if c := e.Caller.Func; reached[c] && pkg(c) != module+"/equations" && pkg(c) != "" {
				callers = append(callers, c.String())
			}
		}
	}
	slices.Sort(callers)
	return slices.Compact(callers)
}

// nameOf is a function's name, with its receiver's type.
func nameOf(f *ssa.Function) string {
	recv := f.Signature.Recv()
	if recv == nil {
		return f.Name()
	}
	typ := recv.Type().String()
	return fmt.Sprintf("%s.%s", typ[strings.LastIndexByte(typ, '.')+1:], f.Name())
}
