package config

import _ "embed"

// Example is a file in which each key is told of. As it stands it says what
// Default does.
//
//go:embed appliance.yaml
var Example string

// Schema is the JSON Schema of a file, for editors. What a value may be it says
// as far as a schema can.
//
//go:embed appliance.schema.json
var Schema string
