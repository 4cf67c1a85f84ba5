// Package equations holds the equations that govern EntroOS, one pure
// function each, named and numbered as in the model's table. Components call
// them in their real path; nothing here does input or output, and nothing
// outside the standard library is imported.
package equations
