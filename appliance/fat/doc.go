// Package fat checks FAT16 and FAT32 file systems and mends what a power cut
// does to them: FAT has no journal, and a cut leaves any part of the sectors that
// were being written.
//
// Only what is safe is mended. An entry that was not finished is removed, a file
// is cut to what there is of it, clusters that belong to nothing are freed.
// Nothing is invented, no file's contents are moved, and of what the Rules call
// precious nothing is changed at all. docs/boot.md has the table of rules.
//
// The format is that of Microsoft's "FAT: General Overview of On-Disk Format"
// 1.03, and where Linux does otherwise, Linux's.
package fat
