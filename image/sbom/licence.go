package sbom

import "strings"

// identify is the SPDX identifier of a licence's text, by sentences that only it
// has; empty when it is none of those that Go modules usually have.
func identify(text string) string {
	words := strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(text, "*", " ")), " "))
	has := func(sentence string) bool { return strings.Contains(words, sentence) }
	switch {
	case has("apache license version 2.0"), has("licensed under the apache license, version 2.0"):
		return "Apache-2.0"
	case has("mozilla public license version 2.0"), has("mozilla public license, version 2.0"):
		return "MPL-2.0"
	case has("gnu lesser general public license"):
		return "" // which version, and with what exception, is for a reader
	case has("redistribution and use in source and binary forms"):
		if has("neither the name") || has("may not be used to endorse or promote") {
			return "BSD-3-Clause"
		}
		return "BSD-2-Clause"
	case has("permission is hereby granted, free of charge, to any person obtaining a copy"):
		return "MIT"
	case has("permission to use, copy, modify, and/or distribute this software for any purpose"),
		has("permission to use, copy, modify, and distribute this software for any purpose with or without fee"):
		return "ISC"
	case has("cc0 1.0 universal"):
		return "CC0-1.0"
	case has("this is free and unencumbered software released into the public domain"):
		return "Unlicense"
	}
	return ""
}
