"""What a network says of images and scans."""
