"""The routes of the service, one module for each thing that is asked for; each has a function that adds its own."""
