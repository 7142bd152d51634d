"""Results of finished runs as numbers: reading, selection rules, protocol, statistics, leaderboard, published scores."""
