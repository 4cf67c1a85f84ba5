package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Set gives a file in which key, e.g. network.dns, has a value, in YAML; an
// empty value takes the key away. All other lines stay as they are, comments
// included. What the values mean is not checked.
func Set(name string, text []byte, key, value string) ([]byte, error) {
	file, err := parse(name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	keys := strings.Split(key, ".")
	if value != "" { // what cannot be there may be taken away
		if err := checkKeys(keys); err != nil {
			return nil, err
		}
	}
	if _, comments := file.body.(*ast.CommentGroupNode); comments {
		file.body = nil
	}
	want, _ := plain(file.body).(map[string]any)
	if want == nil && file.body != nil && file.body.Type() != ast.NullType {
		return nil, file.faultAt(start(file.body), "", "there must be keys with values here")
	}
	var given any
	if value != "" {
		v, err := parse("value", []byte(value), 0)
		if err != nil {
			return nil, err
		}
		given = plain(v.body)
	}
	if given == nil && value != "" {
		return nil, fmt.Errorf("%.60q says nothing; to take %s away, give it an empty value", value, key)
	}
	e := &editor{lines: slices.Clone(file.lines)}
	for len(e.lines) > 0 && strings.TrimSpace(e.lines[len(e.lines)-1]) == "" {
		e.lines = e.lines[:len(e.lines)-1]
	}
	if err := e.set(file.body, keys, value); err != nil {
		return nil, err
	}
	edited := []byte(strings.TrimRight(strings.Join(e.lines, "\n"), "\n") + "\n")
	// Lines are a poor view of YAML: the outcome is compared.
	after, err := parse(name, edited, 0)
	if err != nil || !reflect.DeepEqual(prune(plain(after.body)), prune(put(want, keys, given))) {
		return nil, fmt.Errorf("%s cannot be changed in this file as it is written; change the file and set it whole", key)
	}
	return edited, nil
}

// checkKeys says whether there can be such a key at all.
func checkKeys(keys []string) error {
	t := reflect.TypeFor[Config]()
	for i, key := range keys {
		at := strings.Join(keys[:i], ".")
		switch t.Kind() {
		case reflect.Struct:
			f, ok := fieldOf(reflect.New(t).Elem(), key)
			if !ok {
				return fmt.Errorf("there is no key %.60q; there are %s", strings.Join(keys[:i+1], "."), strings.Join(keysOf(t), ", "))
			}
			t = f.Type()
		case reflect.Map:
			if !interfacePattern.MatchString(key) {
				return fmt.Errorf("%s: %.60q is no name of an interface", at, key)
			}
			t = t.Elem()
		case reflect.Slice:
			return fmt.Errorf("%s is a list, which is set as a whole, e.g. '[one, two]'", at)
		default:
			return fmt.Errorf("%s has no keys below it", at)
		}
	}
	return nil
}

// editor changes a file's lines.
type editor struct{ lines []string }

// set puts value, "" for none, at keys below the mapping.
func (e *editor) set(body ast.Node, keys []string, value string) error {
	indent, end := 0, len(e.lines)
	var entry *ast.MappingValueNode
	for i, key := range keys {
		entries, isMap := body.(*ast.MappingNode)
		if isMap && entries.IsFlowStyle {
			return fmt.Errorf("the file writes %s in braces; change the file and set it whole", strings.Join(keys[:i], "."))
		}
		var found *ast.MappingValueNode
		if isMap {
			indent = start(entries).Position.Column - 1
			for _, v := range entries.Values {
				if k, ok := keyOf(v.Key); ok && k == key {
					found = v
				}
			}
		}
		if found == nil {
			if value == "" {
				return nil
			}
			e.insert(end, indent, keys[i:], value)
			return nil
		}
		entry, body = found, found.Value
		end = lastLine(entry)
		indent += 2
	}
	first := entry.Key.GetToken().Position.Line - 1
	indent = entry.Key.GetToken().Position.Column - 1
	e.lines = slices.Delete(e.lines, first, end)
	if value != "" {
		e.insert(first, indent, keys[len(keys)-1:], value)
	}
	return nil
}

// insert writes keys one below the other, the last with the value, before a line.
func (e *editor) insert(at, indent int, keys []string, value string) {
	var added []string
	for i, key := range keys {
		margin := strings.Repeat(" ", indent+2*i)
		if i < len(keys)-1 {
			added = append(added, margin+key+":")
			continue
		}
		lines := strings.Split(strings.TrimRight(string(normalize([]byte(value))), "\n"), "\n")
		if block(value) || len(lines) > 1 {
			added = append(added, margin+key+":")
			for _, l := range lines {
				added = append(added, margin+"  "+l)
			}
			continue
		}
		added = append(added, margin+key+": "+strings.TrimSpace(lines[0]))
	}
	e.lines = slices.Insert(e.lines, min(at, len(e.lines)), added...)
}

// block says that a value is written as lines of keys or of "- ".
func block(value string) bool {
	v, err := parse("value", []byte(value), 0)
	if err != nil {
		return false
	}
	switch n := v.body.(type) {
	case *ast.MappingNode:
		return !n.IsFlowStyle
	case *ast.SequenceNode:
		return !n.IsFlowStyle
	}
	return false
}

// lastLine is the number of the last line of an entry: that before the first
// token that is as far to the left as its key, comments left to what follows.
func lastLine(entry *ast.MappingValueNode) int {
	key := entry.Key.GetToken()
	last := key.Position.Line
	depth := 0
	for t := key.Next; t != nil; t = t.Next {
		switch t.Type {
		case token.CommentType:
			continue
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.DocumentEndType, token.DocumentHeaderType:
			return last
		}
		below := t.Position.Column > key.Position.Column ||
			t.Type == token.SequenceEntryType && t.Position.Column == key.Position.Column
		if depth == 0 && !below && t.Position.Line != last && t.Type != token.SequenceEndType && t.Type != token.MappingEndType {
			return last
		}
		last = max(last, t.Position.Line+strings.Count(strings.TrimSpace(t.Origin), "\n"))
	}
	return last
}

// plain is a value without its writing: maps, lists and scalars.
func plain(node ast.Node) any {
	switch n := node.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.SequenceNode:
		list := make([]any, len(n.Values))
		for i, v := range n.Values {
			list[i] = plain(v)
		}
		return list
	case *ast.LiteralNode:
		return n.Value.Value
	case ast.MapNode:
		m := make(map[string]any)
		for it := n.MapRange(); it.Next(); {
			m[it.Key().GetToken().Value] = plain(it.Value())
		}
		return m
	case ast.ScalarNode:
		return n.GetValue()
	}
	return node.String()
}

// put is m with a value at keys; nil takes it away.
func put(m map[string]any, keys []string, value any) map[string]any {
	if m == nil {
		m = make(map[string]any)
	}
	if len(keys) > 1 {
		below, _ := m[keys[0]].(map[string]any)
		m[keys[0]] = put(below, keys[1:], value)
	} else {
		m[keys[0]] = value
	}
	return m
}

// prune takes away what says nothing: null, and maps with nothing else.
func prune(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for key, below := range m {
		if m[key] = prune(below); m[key] == nil {
			delete(m, key)
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// Keys are those that Set takes, with eth0 for any interface.
func Keys() []string { return keysBelow(reflect.TypeFor[Config](), "") }

func keysBelow(t reflect.Type, path string) []string {
	var keys []string
	if t.Kind() == reflect.Map {
		if t.Elem().Kind() != reflect.Struct {
			return nil // its keys are the user's own
		}
		return append([]string{path + "eth0"}, keysBelow(t.Elem(), path+"eth0.")...)
	}
	for i := range t.NumField() {
		key := path + keyOfField(t.Field(i))
		keys = append(keys, key)
		if f := t.Field(i).Type; f.Kind() == reflect.Struct || f.Kind() == reflect.Map {
			keys = append(keys, keysBelow(f, key+".")...)
		}
	}
	return keys
}
