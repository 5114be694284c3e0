package spec

import (
	"crypto/sha256"
	"encoding/hex"
)

// CacheSalt is what sets the beginnings of prompts that engines keep apart: a request uses only what
// requests of the same tenant have left. It tells nothing of the tenant's name.
func CacheSalt(tenant string) string {
	sum := sha256.Sum256([]byte("cache salt of " + tenant))
	return hex.EncodeToString(sum[:16])
}
