package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// What --json prints is the API's messages (api/entroos/v1/*.proto), every
// field under its name there, with these differences: numbers of 64 bits are
// numbers; bytes are hexadecimal; an enumeration is its word in lower case;
// NAME_unix_nano is NAME, in RFC 3339 with nanoseconds and in UTC, null when
// it is not set. A list is an array. Fields are only ever added.

// jsonFlag adds --json to a command.
func jsonFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "print JSON")
}

// printJSON prints a message, a slice of them, or anything for encoding/json.
func (env *environment) printJSON(v any) error {
	compact, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, compact, "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	_, err = env.stdout.Write(text.Bytes())
	return err
}

// jsonMessage is an API message as --json prints it.
type jsonMessage struct{ proto.Message }

// jsonList is a list of API messages as --json prints it: [] when empty.
func jsonList[M proto.Message](messages []M) []jsonMessage {
	list := make([]jsonMessage, len(messages))
	for i, m := range messages {
		list[i] = jsonMessage{m}
	}
	return list
}

// MarshalJSON implements json.Marshaler.
func (m jsonMessage) MarshalJSON() ([]byte, error) {
	return marshalMessage(m.ProtoReflect())
}

func marshalMessage(m protoreflect.Message) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name, value, err := marshalField(m, field)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%q:%s", name, value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func marshalField(m protoreflect.Message, field protoreflect.FieldDescriptor) (name string, value []byte, err error) {
	name = string(field.Name())
	v := m.Get(field)
	switch {
	case field.IsList():
		list := v.List()
		items := make([]json.RawMessage, list.Len())
		for i := range items {
			if items[i], err = marshalValue(field, list.Get(i)); err != nil {
				return "", nil, err
			}
		}
		value, err = json.Marshal(items)
	case field.IsMap():
		entries := make(map[string]json.RawMessage, v.Map().Len())
		v.Map().Range(func(key protoreflect.MapKey, entry protoreflect.Value) bool {
			entries[key.String()], err = marshalValue(field.MapValue(), entry)
			return err == nil
		})
		if err == nil {
			value, err = json.Marshal(entries)
		}
	case field.HasPresence() && !m.Has(field):
		value = []byte("null")
	case field.Kind() == protoreflect.Int64Kind && strings.HasSuffix(name, "_unix_nano"):
		name = strings.TrimSuffix(name, "_unix_nano")
		value, err = json.Marshal(unixNano(v.Int()))
	default:
		value, err = marshalValue(field, v)
	}
	return name, value, err
}

func marshalValue(field protoreflect.FieldDescriptor, v protoreflect.Value) ([]byte, error) {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return marshalMessage(v.Message())
	case protoreflect.BytesKind:
		return json.Marshal(hex.EncodeToString(v.Bytes()))
	case protoreflect.EnumKind:
		return json.Marshal(enumWord(field.Enum(), v.Enum()))
	}
	return json.Marshal(v.Interface())
}

// enumWord is "running" for CONTAINER_STATE_RUNNING of ContainerState.
func enumWord(enum protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	value := enum.Values().ByNumber(n)
	if value == nil {
		return fmt.Sprint(n)
	}
	// A value's name begins with its type's, which is also how the value of
	// number 0 ends in _UNSPECIFIED.
	zero := string(enum.Values().ByNumber(0).Name())
	prefix := strings.TrimSuffix(zero, "UNSPECIFIED")
	word := strings.TrimPrefix(string(value.Name()), prefix)
	return strings.ReplaceAll(strings.ToLower(word), "_", "-")
}

// unixNano is a time for JSON: nil when it is not set.
func unixNano(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	t := time.Unix(0, ns).UTC()
	return &t
}
