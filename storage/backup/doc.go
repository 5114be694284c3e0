// Package backup is the form in which the whole agreed state leaves the cluster:
// one file, compressed and always encrypted, that says what it is of and shows
// damage.
//
// It owns the format of the file, the names of backups in a directory, and which
// of them are kept. node/ writes backups by it, for the admin API and on a
// schedule, and restores from them; the command line verifies them. The package
// imports storage/state and no other room.
//
// A file begins with one line in clear that tells the cluster, the index, the
// time and the build, so that a directory can be listed without a key. That line
// is repeated in the sealed part, and the two must be alike. The rest is an age
// stream (age-encryption.org/v1), to X25519 recipients or under a passphrase:
//
//	LOTABOTS-BACKUP 1 {manifest in JSON}
//	age( zstd(
//	  size of the manifest  4 bytes
//	  manifest              as in the line
//	  blocks of a snapshot  each its size in 4 bytes, then its bytes
//	  end                   4 zero bytes
//	  digest                SHA-256 of all that came before, 32 bytes
//	) )
//
// Numbers are big-endian. A backup shows whether it is whole. It does not show
// who made it where it is sealed to a recipient: anybody who knows the recipient
// can make one. Whoever restores must know where the file comes from.
//
// Not in a backup: the files of models, configurations of nodes, their keys and
// certificates. Not done yet: backups that hold the log's entries, to restore the
// state as of a moment between two backups.
package backup
