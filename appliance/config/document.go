package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file. The parser calls itself for each level of nesting, so a
// file is looked at before it.
const (
	MaxSize        = 64 << 10 // bytes
	maxFlowDepth   = 16       // of [ and {
	maxBlockColumn = 128      // at which a nested block may begin
)

// document is a file's text and its tree.
type document struct {
	name  string
	lines []string
	body  ast.Node // nil when the file says nothing
}

// parse reads YAML of one document, with no anchors, aliases and tags in it. A
// byte order mark and CRLF are fine.
func parse(name string, text []byte, mode parser.Mode) (*document, error) {
	if len(text) > MaxSize {
		return nil, &Error{File: name, Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(text), MaxSize)}
	}
	clean := string(normalize(text))
	d := &document{name: name, lines: strings.Split(clean, "\n")}
	if i := strings.IndexFunc(clean, func(r rune) bool { return r == 0 || r == utf8.RuneError }); i >= 0 {
		line := strings.Count(clean[:i], "\n")
		column := utf8.RuneCountInString(clean[strings.LastIndexByte(clean[:i], '\n')+1 : i])
		return nil, d.fault(line+1, column+1, "", "this is no UTF-8 text; save the file as UTF-8")
	}
	tokens := lexer.Tokenize(clean)
	if err := d.shallow(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, mode)
	if err != nil {
		return nil, d.syntax(err)
	}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			return nil, d.faultAt(doc.Body.GetToken(), "", "a second document begins here; the settings are one document")
		}
	}
	if len(file.Docs) > 0 {
		d.body = file.Docs[0].Body
	}
	return d, nil
}

// normalize takes the byte order mark and carriage returns away.
func normalize(text []byte) []byte {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
}

// shallow refuses what is nested too deeply, and what settings have no use for.
func (d *document) shallow(tokens token.Tokens) error {
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return d.faultAt(t, "", "anchors and aliases are not known here; write the value out")
		case token.TagType:
			return d.faultAt(t, "", "tags are not known here; write the value in quotes if it is text")
		case token.DirectiveType:
			return d.faultAt(t, "", "directives are not known here; leave the line out")
		}
		nested := t
		if t.Type == token.MappingValueType && t.Prev != nil {
			nested = t.Prev // the key
		}
		block := t.Type == token.SequenceEntryType || t.Type == token.MappingKeyType || t.Type == token.MappingValueType
		if depth > maxFlowDepth || depth == 0 && block && nested.Position.Column > maxBlockColumn {
			return d.faultAt(nested, "", "the file is nested too deeply")
		}
	}
	return nil
}

// syntax gives the parser's error.
func (d *document) syntax(err error) error {
	var known yaml.Error
	if !errors.As(err, &known) || known.GetToken() == nil {
		return &Error{File: d.name, Message: err.Error()}
	}
	return d.faultAt(known.GetToken(), "", "%s", known.GetMessage())
}

func (d *document) faultAt(t *token.Token, path, format string, args ...any) *Error {
	if t == nil || t.Position == nil {
		return &Error{File: d.name, Path: path, Message: fmt.Sprintf(format, args...)}
	}
	return d.fault(t.Position.Line, t.Position.Column, path, format, args...)
}

func (d *document) fault(line, column int, path, format string, args ...any) *Error {
	e := &Error{File: d.name, Line: line, Column: column, Path: path, Message: fmt.Sprintf(format, args...)}
	if line >= 1 && line <= len(d.lines) {
		e.Source = d.lines[line-1]
	}
	return e
}
