from .fetching import fetch_all as fetch_all
