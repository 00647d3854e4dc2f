"""What must hold in every world. `checker` holds the list and checks it; the other modules are its chapters."""
