// Package mixing predicts bits by mixing the predictions of many contexts, and
// codes them at nearly their entropy: the primitives of the dense levels, and a
// coder of any bytes made from them.
//
// The scheme is that of Mahoney, "Adaptive Weighing of Context Models for
// Lossless Data Compression" (2005, the PAQ family): each context keeps a short
// history of the bits that followed it; an adaptive map turns the history into
// a probability; a small neural network adds the probabilities' logits with
// weights that it learns as it goes; and adaptive maps refine its answer. A
// binary arithmetic coder codes the bit with what came out. The decoder
// predicts the same from the bits it has decoded.
//
// Everything is computed in integers, so that the same bytes come out on every
// CPU. Models write themselves once: [Coder.Code] codes the bit that it is
// given or decodes one, and returns it either way.
//
// Units: a probability is that of a 1 in 1/65536, in [1,65535]; a logit is
// ln(p/(1−p)) in 1/256, in ±[MaxLogit].
package mixing
