package config

import (
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder lays files over a Config, one after the other. yaml's own decoder
// turns numbers into text and back where it can, and stops at the first error.
type decoder struct {
	config *Config
	file   *document
	places map[string]place // of values, by path; the last file's
	errors []*Error
	alone  bool // what lies below the file is not known
}

// place is where a value was written.
type place struct {
	file  *document
	token *token.Token
}

// read lays one file over the Config.
func (d *decoder) read(name string, text []byte) error {
	file, err := parse(name, text, 0)
	if err != nil {
		return err
	}
	d.file = file
	if d.places == nil {
		d.places = make(map[string]place)
	}
	if file.body != nil {
		d.value(file.body, reflect.ValueOf(d.config).Elem(), "")
	}
	err = join(d.errors)
	d.errors = nil
	return err
}

func (d *decoder) fail(node ast.Node, path, format string, args ...any) {
	d.errors = append(d.errors, d.file.faultAt(start(node), path, format, args...))
}

// start is where a value begins: for a block of keys the first of them, where
// the tree has the colon behind it.
func start(node ast.Node) *token.Token {
	t := node.GetToken()
	entries, ok := node.(ast.MapNode)
	if !ok || t == nil || t.Type == token.MappingStartType {
		return t
	}
	if it := entries.MapRange(); it.Next() {
		return it.Key().GetToken()
	}
	return t
}

// value decodes node into v, which has what was there before. Null leaves it:
// a key whose values are all comments says nothing.
func (d *decoder) value(node ast.Node, v reflect.Value, path string) {
	if node == nil || node.Type() == ast.NullType {
		return
	}
	if _, known := d.places[path]; !known || node.Type() != ast.MappingType {
		d.places[path] = place{d.file, start(node)}
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		d.value(node, fresh.Elem(), path)
		v.Set(fresh)
		return
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		d.mapping(node, v, path)
	case reflect.Slice:
		d.list(node, v, path)
	default:
		d.scalar(node, v, path)
	}
}

func (d *decoder) mapping(node ast.Node, v reflect.Value, path string) {
	entries, ok := node.(ast.MapNode)
	if !ok {
		d.wrongType(node, path, "keys with values")
		return
	}
	for it := entries.MapRange(); it.Next(); {
		key, ok := keyOf(it.Key())
		if !ok {
			d.fail(it.Key(), path, "a key is a plain word")
			continue
		}
		below := key
		if path != "" {
			below = path + "." + key
		}
		d.places[below] = place{d.file, it.Key().GetToken()}
		if v.Kind() == reflect.Map {
			// A map's elements cannot be changed in place.
			element := reflect.New(v.Type().Elem()).Elem()
			if have := v.MapIndex(reflect.ValueOf(key)); have.IsValid() {
				element.Set(have)
			}
			d.value(it.Value(), element, below)
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(reflect.ValueOf(key), element)
			continue
		}
		field, ok := fieldOf(v, key)
		if !ok {
			d.fail(it.Key(), path, "there is no key %.60q here; there are %s", key, strings.Join(keysOf(v.Type()), ", "))
			continue
		}
		d.value(it.Value(), field, below)
	}
}

// list replaces what was there.
func (d *decoder) list(node ast.Node, v reflect.Value, path string) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.wrongType(node, path, "a list: write each value on a line of its own after \"- \"")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values))
	for i, n := range sequence.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		if n == nil || n.Type() == ast.NullType {
			d.errors = append(d.errors, d.file.faultAt(sequence.GetToken(), at, "there is nothing after \"- \""))
			continue
		}
		d.value(n, list.Index(i), at)
	}
	v.Set(list)
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		switch n := node.(type) {
		case *ast.StringNode:
			v.SetString(n.Value)
		case *ast.LiteralNode:
			v.SetString(n.Value.Value)
		default:
			d.wrongType(node, path, "text: put it in quotes")
		}
	case reflect.Bool:
		if n, ok := node.(*ast.BoolNode); ok {
			v.SetBool(n.Value)
		} else {
			d.wrongType(node, path, "true or false")
		}
	case reflect.Int:
		if n, ok := integer(node); ok {
			v.SetInt(n)
		} else {
			d.wrongType(node, path, "a whole number")
		}
	case reflect.Float64:
		n, ok := integer(node)
		v.SetFloat(float64(n))
		if f, is := node.(*ast.FloatNode); is && !math.IsInf(f.Value, 0) && !math.IsNaN(f.Value) {
			v.SetFloat(f.Value)
			ok = true
		}
		if !ok {
			d.wrongType(node, path, "a number")
		}
	default:
		panic("config: a field of kind " + v.Kind().String()) // a type above that this does not know
	}
}

func integer(node ast.Node) (int64, bool) {
	n, ok := node.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch n := n.Value.(type) {
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64
	}
	return 0, false
}

func (d *decoder) wrongType(node ast.Node, path, wanted string) {
	have := "something else"
	switch node.Type() {
	case ast.StringType, ast.LiteralType:
		have = "text"
	case ast.BoolType:
		have = "true or false"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		have = "a number"
	case ast.MappingType, ast.MappingValueType:
		have = "keys with values"
	case ast.SequenceType:
		have = "a list"
	}
	d.fail(node, path, "this is %s where there must be %s", have, wanted)
}

func keyOf(node ast.MapKeyNode) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	}
	return "", false
}

// fieldOf gives the field of a struct whose key it is.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if keyOfField(v.Type().Field(i)) == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keyOfField(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, keyOfField(t.Field(i)))
	}
	sort.Strings(keys)
	return keys
}
