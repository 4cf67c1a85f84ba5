package image

import "testing"

// What a user has set for builds of their own does not change the box's.
func TestGoEnvironment(t *testing.T) {
	settings := map[string]string{
		"GOFLAGS": "-ldflags=-X=main.x=1", "GOFIPS140": "latest", "GOEXPERIMENT": "synctest", "CC": "other-cc",
		"CGO_CFLAGS": "-O1 -DX", "CGO_CPPFLAGS": "-DX", "CGO_LDFLAGS": "-L/x",
	}
	var b Builder
	ask := func(name string) string {
		value, err := b.askGo(t.Context(), t.TempDir(), "env", name)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	for name, value := range settings {
		t.Setenv(name, "")
		want := ask(name)
		t.Setenv(name, value)
		if got := ask(name); got != want {
			t.Errorf("%s=%s: go has %q, want %q", name, value, got, want)
		}
	}
}
