// Package dense codes log lines densely: it takes a block apart as logline does,
// and codes the rows in their order, each value by mixing the predictions of
// contexts that are other values of the row and of the rows before.
//
// What to predict a column from is measured by the encoder, and told in the
// header.
package dense
