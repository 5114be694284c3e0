package actors

func llamaServerMain([]string) int { return 1 }
func removeHelper()                {}
