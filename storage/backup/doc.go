// Package backup is the form in which the whole agreed state leaves the cluster:
// one file, compressed and always encrypted, that says what it is of and shows
// damage. It restores to one moment, or to any from an older one on.
//
// It owns the format of the file, the names of backups in a directory, which of
// them are kept, and which older state and entries go into one. node/ writes
// backups by it, for the admin API and on a schedule, and restores from them; the
// command line verifies them. The package imports storage/state, storage/raftlog
// and no other room.
//
// A file begins with one line in clear that tells the cluster, the range of
// indexes and times, and the build, so that a directory can be listed without a
// key. That line is repeated in the sealed part, and the two must be alike. The
// rest is an age stream (age-encryption.org/v1), to X25519 recipients or under a
// passphrase:
//
//	LOTABOTS-BACKUP 2 {manifest in JSON}
//	age( zstd(
//	  size of the manifest  4 bytes
//	  manifest              as in the line
//	  blocks of a snapshot  each its size in 4 bytes, then its bytes; none: the state before the cluster's first entry
//	  end                   4 zero bytes
//	  entries               each its size in 4 bytes, then a wire.Entry
//	  end                   4 zero bytes
//	  digest                SHA-256 of all that came before, 32 bytes
//	) )
//
// Numbers are big-endian. The snapshot is of the manifest's index "from". The
// entries are all of those above it up to "index", Raft's own too, which have no
// command. Format 1, which is read still, has no entries and no end of them: its
// snapshot is of "index".
//
// A backup shows whether it is whole. It does not show who made it where it is
// sealed to a recipient: anybody who knows the recipient can make one. Whoever
// restores must know where the file comes from. Of the states before the last it
// has no hashes: they come of the same entries as the last, which has one.
//
// Not in a backup: the files of models, configurations of nodes, their keys and
// certificates. Not done: backups of one cluster are not joined, so a point that
// lies after one's end and before the next one's beginning cannot be had.
package backup
