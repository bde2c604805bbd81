"""Break-glass: a second authority of a project, in shares that people keep, for when everything else is down."""
