package natsserver

// Routes is the number of other nodes that the server is connected with.
func (s *Server) Routes() int {
	nodes := make(map[string]bool)
	if z, err := s.server.Routez(nil); err == nil {
		for _, r := range z.Routes {
			nodes[r.RemoteID] = true
		}
	}
	return len(nodes)
}
